//! Facilities of syslog and the kernel's log (RFC 5424, table 1).

const NAMES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The name of a facility, where it has one.
pub fn facility_name(facility: u32) -> Option<&'static str> {
    NAMES.get(facility as usize).copied()
}
