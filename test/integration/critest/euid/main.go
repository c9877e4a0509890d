// Command euid tells whether it is setuid, as critest's image "nonewprivs" does.
package main

import (
	"fmt"
	"os"
)

func main() { fmt.Println("Effective uid:", os.Geteuid()) }
