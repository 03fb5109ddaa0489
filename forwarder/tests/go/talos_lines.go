// What Talos makes of a service's lines: its algorithm, on Go's own encoding/json and time, and nothing else.
//
//	talos_lines SERVICE NOW < lines      prints an object for each line that is not blank
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"
	"strings"
	"time"
)

// Seconds from 1970 to the year 3000: what is more is milliseconds.
const year3000 = 32503680000

var severity = map[string]int{"debug": 0, "info": 1, "warn": 2, "error": 3, "dpanic": 4, "panic": 5, "fatal": 6}

func main() {
	service := os.Args[1]
	now, err := time.Parse(time.RFC3339Nano, os.Args[2])
	if err != nil {
		panic(err)
	}
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	for {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			object, err := json.Marshal(event(line, service, now))
			if err != nil {
				panic(err)
			}
			out.Write(append(object, '\n'))
		}
		if err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
	}
}

func event(line []byte, service string, now time.Time) map[string]any {
	msg, fields := split(line)
	at, level := now, "info"
	for _, key := range []string{"time", "ts"} {
		if parsed := timeOf(fields[key]); !parsed.IsZero() {
			at = parsed.UTC()
			delete(fields, key)
			break
		}
	}
	if text, ok := fields["level"].(string); ok {
		name := strings.ToLower(text)
		switch name {
		case "warning":
			name = "warn"
		case "":
			name = "info"
		}
		if _, known := severity[name]; known {
			level = name
			delete(fields, "level")
		}
	}
	if text, ok := fields["msg"].(string); ok {
		if msg != "" {
			msg += " "
		}
		msg += strings.TrimSpace(text)
		delete(fields, "msg")
	}
	if text, ok := fields["err"].(string); ok {
		if severity[level] < severity["warn"] {
			level = "warn"
		}
		if msg != "" {
			msg += ": "
		}
		msg += strings.TrimSpace(text)
		delete(fields, "err")
	}
	if fields == nil {
		fields = map[string]any{}
	}
	fields["talos-service"] = service
	fields["msg"] = msg
	fields["talos-time"] = at.Format(time.RFC3339Nano)
	fields["talos-level"] = level
	return fields
}

// The text of a line, and the members of the object that it is or ends in.
func split(line []byte) (string, map[string]any) {
	var fields map[string]any
	if json.Unmarshal(line, &fields) == nil {
		return "", fields
	}
	if at := bytes.IndexByte(line, '{'); at >= 0 {
		fields = nil
		if json.Unmarshal(line[at:], &fields) == nil {
			return string(bytes.TrimSpace(line[:at])), fields
		}
	}
	return string(line), nil
}

func timeOf(value any) time.Time {
	switch value := value.(type) {
	case string:
		if parsed, err := time.Parse(time.RFC3339Nano, value); err == nil {
			return parsed
		}
	case float64:
		whole, part := math.Modf(value)
		if whole > year3000 {
			whole, part = math.Modf(value / 1000)
		}
		if math.Abs(whole) > 9.2e18 {
			// int64(whole) is another number on each processor.
			return time.Time{}
		}
		return time.Unix(int64(whole), int64(part*float64(time.Second)))
	}
	return time.Time{}
}
