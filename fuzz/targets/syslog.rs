//! Messages of syslog, by RFC 3164 and 5424, of this machine and another.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::line::LineKind;

fuzz_target!(|data: &[u8]| {
    ringward_fuzz::line(LineKind::Syslog, data);
    ringward_fuzz::line(LineKind::LocalSyslog, data);
});
