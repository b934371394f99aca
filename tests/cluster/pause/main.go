// Holds a pod's namespaces, and does nothing else.
package main

import "time"

func main() {
	for {
		time.Sleep(time.Hour)
	}
}
