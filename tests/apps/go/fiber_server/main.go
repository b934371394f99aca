// A Fiber server, as the platform's backend is one, to be observed. It prints what it answered,
// a line each.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"

	"github.com/gofiber/fiber/v2"
)

const downloadBytes = 8 << 20

func main() {
	app := fiber.New(fiber.Config{
		DisableStartupMessage: true,
		BodyLimit:             16 << 20,
		StreamRequestBody:     true,
	})
	app.Use(func(c *fiber.Ctx) error {
		err := c.Next()
		status := c.Response().StatusCode()
		if err != nil {
			status = fiber.StatusNotFound
		}
		if c.Path() != "/events" {
			fmt.Println(c.Method(), c.Path(), status)
		}
		return err
	})
	app.All("/plain", func(c *fiber.Ctx) error { return c.SendString("plain\n") })
	app.All("/empty", func(c *fiber.Ctx) error { return c.SendStatus(fiber.StatusNoContent) })
	app.All("/fresh", func(c *fiber.Ctx) error { return c.SendStatus(fiber.StatusNotModified) })
	app.All("/broken", func(c *fiber.Ctx) error { return c.SendStatus(fiber.StatusServiceUnavailable) })
	app.All("/refuse", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderConnection, "close")
		return c.SendStatus(fiber.StatusRequestEntityTooLarge)
	})
	app.All("/echo", func(c *fiber.Ctx) error { return c.Send(c.Body()) })
	app.All("/upload", func(c *fiber.Ctx) error { return c.SendString(fmt.Sprintln(len(c.Body()))) })
	app.All("/download", func(c *fiber.Ctx) error { return c.Send(make([]byte, downloadBytes)) })
	app.All("/stream", func(c *fiber.Ctx) error {
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			for part := range 3 {
				fmt.Fprintf(w, "part %d\n", part)
				w.Flush()
			}
		})
		return nil
	})
	app.All("/events", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, "text/event-stream")
		method := c.Method()
		c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			for event := 0; ; event++ {
				fmt.Fprintf(w, "data: %d\n\n", event)
				if w.Flush() != nil {
					fmt.Println(method, "/events", "aborted")
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
		return nil
	})
	err := app.Listen(os.Args[1])
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
