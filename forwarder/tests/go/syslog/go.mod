module ringward/tests/go/syslog

go 1.22

require github.com/jeromer/syslogparser v1.1.0
