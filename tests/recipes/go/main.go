// Asks a recipe for each line `verify TOKEN` of stdin, as a service would, and answers with one line each.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	if err := Start(); err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		claims, err := Verify(strings.TrimPrefix(lines.Text(), "verify "))
		if err != nil {
			fmt.Println("refused", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("ok", claims.Subject)
		}
	}
}
