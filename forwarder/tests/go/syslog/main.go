// What Talos' syslogd makes of messages: an oracle for parse/syslog/talos.rs.
//
// In: a message a line, in hexadecimal digits. Out: for each, `ok` and the JSON that syslogd writes, `drop`, or `fatal`
// where it would end. Times without a year are of the one in which it runs.
//
// What syslogd does before it asks its library is written here anew, from its description.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/jeromer/syslogparser"
	"github.com/jeromer/syslogparser/rfc3164"
	"github.com/jeromer/syslogparser/rfc5424"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		message, err := hex.DecodeString(in.Text())
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(out, answer(message))
	}
}

func answer(message []byte) (said string) {
	defer func() {
		if recover() != nil {
			said = "fatal"
		}
	}()
	// As it is read: longer messages are cut, and slices may reach behind the message.
	buffer := make([]byte, 1024)
	message = buffer[:copy(buffer, message)]
	version, err := syslogparser.DetectRFC(message)
	if err != nil {
		return "drop"
	}
	var parser syslogparser.LogParser
	if version == syslogparser.RFC_5424 {
		parser = rfc5424.NewParser(message)
	} else {
		parser = old(message)
	}
	if parser.Parse() != nil {
		return "drop"
	}
	text, err := json.Marshal(parser.Dump())
	if err != nil {
		return "drop"
	}
	return "ok " + string(text)
}

// A parser for RFC 3164, told of the host or given a tag where these seem to lack.
func old(message []byte) syslogparser.LogParser {
	text := string(message)
	before, _, tagged := strings.Cut(text, "]:")
	hosted := tagged && !strings.Contains(before, "  ") && strings.Count(before, " ") > 3
	if !tagged {
		skip := 3
		if wide := strings.Index(text, "  "); wide >= 0 && wide < 8 {
			skip = 4
		}
		at := -1
		for ; skip > 0; skip-- {
			next := strings.IndexByte(text[at+1:], ' ')
			if next < 0 {
				panic("no place for a tag")
			}
			at += 1 + next
		}
		text = text[:at] + " unknown:" + text[at:]
	}
	parser := rfc3164.NewParser([]byte(text))
	if !hosted {
		parser.WithHostname("localhost")
	}
	return parser
}
