// What Go's encoding/json makes of lines: the golden pairs of json_objects.txt, and of those that a test sends here.
//
//	go run json_objects.go < lines          prints a line for each line: `ok` and the object as json.Marshal writes
//	                                        it, or `no`
//	go run json_objects.go golden > json_objects.txt
//
// A line is hexadecimal, so that it may hold any bytes.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "golden" {
		for _, line := range golden() {
			fmt.Printf("%s\n%s\n", hex.EncodeToString([]byte(line)), answer([]byte(line)))
		}
		return
	}
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer out.Flush()
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line, err := hex.DecodeString(strings.TrimSuffix(text, "\n"))
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(out, answer(line))
	}
}

func answer(line []byte) string {
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil || m == nil {
		return "no"
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return "ok " + string(text)
}

// Every value, in an object and again deeper in it, and texts that are nearly objects.
func golden() []string {
	values := []string{
		`null`, `true`, `false`, `0`, `-0`, `0.0`, `-0.0`, `1`, `-1`, `1.0`, `1.50`, `0.1`, `-0.25`, `12345678901234567890`,
		`123456789012345`, `1234567890123456`, `9007199254740993`, `0.1234567890123456`, `123456.7890123456789`, `1e2`,
		`1E+2`, `1e-2`, `0.000001`, `0.0000001`, `0.00000012`, `1e-7`, `1.5e-9`, `1.5e-10`, `123e-20`, `1e20`, `1e21`,
		`123456789012345678901234`, `100000000000000000000`, `999999999999999999999`, `1e-400`, `-1e-400`, `5e-324`,
		`1.7976931348623157e308`, `1.7976931348623159e308`, `1e400`, `-1e400`, `01`, `1.`, `.5`, `+1`, `-`, `1e`, `1e+`,
		`0x1`, `NaN`, `Infinity`, `nul`, `tru`, `True`, `'a'`, `undefined`,
		`""`, `"a"`, `"<>&"`, `"\u003c"`, `"\/"`, `"\""`, `"\\"`, `"\b\f\n\r\t"`, `"\u0000\u001f\u007f"`, "\"\x7f\"",
		"\"\u2028\u2029\u2027\"", `"\u2028"`, `"é"`, `"\u00e9"`, `"\u00E9"`, `"\ud83d\ude00"`, `"\uD83D\uDE00"`, `"😀"`,
		`"\ud800"`, `"\ud800x"`, `"\udc00"`, `"\ud800\ud800"`, `"\ud800\ud83d\ude00"`, `"\ud800\u0041"`, `"\ude00\ud83d"`,
		`"\ud83d\n"`, `"\ud83d\"`, `"\uffff"`, `"\ufffd"`, "\"\xff\"", "\"a\xc3\"", "\"\xe2\x82\"", "\"\xf0\x9f\x98\"",
		"\"\xed\xa0\x80\"", "\"\xc0\xaf\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x80\\n\"", "\"\x80abc\\u00e9\xff\"", "\"a\nb\"",
		"\"\x00\"", "\"\x1f\"", "\"\t\"", `"\x"`, `"\u12"`, `"\u12g4"`, `"\U0041"`, `"`, `"a`, `"a\`, `"\u`, `"\'"`,
		`"a long string of plain text that has more than sixteen and more than thirty-two bytes"`,
		`"a long string, then something \"special\" and then plain text again, for a while at least"`,
		`[]`, `[ ]`, `[1]`, `[1,2]`, `[ 1 , "a" , null ]`, `[[],[[]],{}]`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `[`, `]`, `[[]`,
		`{}`, `{ }`, `{"a":1}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"b":{"d":1,"c":2},"a":[{"z":1,"y":2}]}`,
		`{"a":{"b":1},"a":{"c":2}}`, `{"b":1,"a":2,"b":3,"a":4}`, `{"c":{"b":1,"a":{"y":1,"x":2}},"b":[{"b":1,"a":1},{"a":1}],"a":0}`,
		`{"\u0062":1,"a":2,"b":3}`, `{"<":1,"\u003c":2,";":3,"=":4}`, `{"é":1,"z":2,"":3}`, `{"a" : 1 , "b" : 2}`, `{"a":1,}`,
		`{,"a":1}`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{a:1}`, `{1:2}`, `{"a":1]`, `{"a":1 "b":2}`, `{"a":1e999}`, "{\"\xff\":1,\"\\ufffd\":2}",
	}
	var lines []string
	for _, value := range values {
		lines = append(lines, `{"k":`+value+`}`, `{"k":[`+value+`]}`, `{"k":{"n":`+value+`,"m":`+value+`}}`, "{ \"k\" :\t"+value+" }\r\n", value)
	}
	for _, key := range []string{`"b"`, `""`, `"\u0061"`, `"A"`, `"<"`, "\"\xff\"", `"é"`, `"\ud800"`, `"a b"`, `k`, `1`, `"k"`} {
		lines = append(lines, `{"k":1,`+key+`:2,"a":3}`, `{`+key+`:1,"z":2,`+key+`:3}`)
	}
	lines = append(lines, ``, ` `, `{`, `}`, `{}`, ` {} `, "\t{\r\n}\n", `{}{}`, `{} x`, `x {}`, `{"a":1}}`, "\ufeff{}", "\v{}", `{"a":1,,"b":2}`,
		`{"j":1,"i":2,"h":3,"g":4,"f":5,"e":6,"d":7,"c":8,"b":9,"a":10,"a":11,"b":12,"z":13,"y":14,"x":15,"w":16,"v":17,"u":18,"t":19,"s":20,"r":21,"q":22,"j":23}`,
		`{"caller":"mvcc/kvstore_compaction.go:57","compact-revision":34567,"msg":"finished scheduled compaction","talos-level":"info","talos-service":"etcd","talos-time":"2021-10-19T14:53:05.815Z","took":"21.041639ms"}`)
	return lines
}
