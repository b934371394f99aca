package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// Issued is what a scenario issued to PostgreSQL, counted by who issues it.
type Issued struct {
	Scenario string `json:"scenario"`
	// By the name in the text; by the operation for a statement without one.
	Executions map[string]int `json:"executions"`
	Rows       int            `json:"rows"`
	// By SQLSTATE.
	Errors  map[string]int `json:"errors"`
	Commits int            `json:"commits"`
	// On request.
	Rollbacks int `json:"rollbacks"`
	// Because of an error.
	Failed      int `json:"failed"`
	Connections int `json:"connections"`
	// Commits of the server's statistics that are none: Syncs after which nothing had run; nil
	// where their number is the server's chance.
	Idle *int `json:"idle"`
}

func newIssued(scenario string) *Issued {
	return &Issued{
		Scenario:   scenario,
		Executions: map[string]int{},
		Errors:     map[string]int{},
		Idle:       new(int),
	}
}

// ran counts statements that ended well, with so many rows in all.
func (i *Issued) ran(what string, times, rows, commits int) {
	i.Executions[what] += times
	i.Rows += rows
	i.Commits += commits
}

// broke counts a statement that ended with an error.
func (i *Issued) broke(what, sqlstate string) {
	i.Executions[what]++
	i.Errors[sqlstate]++
}

func (i *Issued) print() {
	must(json.NewEncoder(os.Stdout).Encode(i))
}

// named is a statement with its name in it, as sqlc writes them.
func named(name, text string) string {
	return fmt.Sprintf("-- name: %s :many\n%s", name, text)
}
