// Writes by Go's log/syslog: to each NETWORK ADDRESS of the arguments one message, which says the network.
package main

import (
	"log/syslog"
	"os"
)

func main() {
	for at := 1; at+1 < len(os.Args); at += 2 {
		network, address := os.Args[at], os.Args[at+1]
		writer, err := syslog.Dial(network, address, syslog.LOG_DAEMON|syslog.LOG_INFO, "goapp")
		if err != nil {
			panic(err)
		}
		if err := writer.Err("by " + network); err != nil {
			panic(err)
		}
		if err := writer.Close(); err != nil {
			panic(err)
		}
	}
}
