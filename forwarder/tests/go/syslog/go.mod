module ringward/tests/go/syslog

go 1.18

require github.com/jeromer/syslogparser v1.1.0
