//! How a line is read, by the choice of whoever set up its source.

use jiff::tz::TimeZone;

use super::fields::Fields;
use super::json::JsonParser;
use super::kata::KataParser;
use super::klog::KlogParser;
use super::logfmt::LogfmtParser;
use super::pattern::{LinePattern, PatternParser};
use super::syslog::{Sender, SyslogParser};
use super::time::TimeReader;
use super::{peer, space, talos};
use crate::record::{Level, Parts, Span};

/// What a line is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A line that is a whole JSON object is taken as that, and passed on as it is; another one is text.
    Auto,
    /// The output of a service, as Talos reads it: JSON, text with JSON behind it, or text.
    Talos,
    /// What the line is by its looks: an object (as with [`LineKind::Talos`]), a line of klog, or pairs that are surely
    /// meant so; another one is text.
    Detect,
    /// A line of klog, the format of Kubernetes' programs; another one is text, and marked.
    Klog,
    /// A record of Kata Containers, or a piece of a line that [`super::kata::split`] gives.
    Kata,
    /// A line that a pattern describes; another one is text, and marked.
    Pattern(&'static LinePattern),
    /// A line of `key=value` pairs gives its time, level, message and fields; another one is text.
    Logfmt,
    /// A message of syslog that another machine has sent, or may have.
    Syslog,
    /// The same from this machine.
    LocalSyslog,
    /// A message of syslog as Talos' syslogd takes it, faults and all.
    TalosSyslog,
    /// Text, whatever it looks like.
    Text,
}

impl LineKind {
    /// Whether only the beginning of a message says what it is: the rest of one that comes in parts is text.
    pub fn has_header(self) -> bool {
        matches!(self, Self::Syslog | Self::LocalSyslog | Self::TalosSyslog)
    }

    /// Whether a line may hold several records, which [`super::kata::split`] finds.
    pub fn has_glued_records(self) -> bool {
        self == Self::Kata
    }
}

/// The process that has sent a message, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub uid: u32,
}

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub struct Parsed<'p> {
    /// The line's own time in ns since the epoch, where it has one that fits.
    pub time_ns: Option<i64>,
    pub level: Level,
    /// Whether an object was found, so that the line is known to be whole.
    pub is_object: bool,
    pub parts: Parts<'p>,
}

impl<'p> Parsed<'p> {
    /// A line that is nothing but text.
    pub fn text(line: &'p [u8]) -> Self {
        Self { time_ns: None, level: Level::Info, is_object: false, parts: Parts::text(line) }
    }
}

/// Reads lines; keeps its memory from one to the next.
pub struct LineParser {
    json: JsonParser,
    logfmt: LogfmtParser,
    syslog: SyslogParser,
    klog: KlogParser,
    kata: KataParser,
    pattern: PatternParser,
    /// For what does not parse.
    unparsed: Fields,
    times: TimeReader,
    zone: TimeZone,
}

impl LineParser {
    /// `zone` is that of times which name none.
    pub fn new(zone: TimeZone) -> Self {
        Self {
            json: JsonParser::default(),
            logfmt: LogfmtParser::default(),
            syslog: SyslogParser::new(zone.clone()),
            klog: KlogParser::default(),
            kata: KataParser::default(),
            pattern: PatternParser::default(),
            unparsed: Fields::default(),
            times: TimeReader::default(),
            zone,
        }
    }

    /// What `line` says that came at `now_ns` (since the epoch). `None` where it is blank, which only [`LineKind::Text`]
    /// takes for a line; and of [`LineKind::TalosSyslog`] where Talos drops it.
    pub fn parse<'p>(&'p mut self, kind: LineKind, line: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
        match kind {
            LineKind::Text => return Some(Parsed::text(line)),
            LineKind::TalosSyslog => return self.syslog.parse_talos(line, now_ns),
            LineKind::Syslog | LineKind::LocalSyslog => {
                let sender = if kind == LineKind::Syslog { Sender::Elsewhere } else { Sender::Here(None) };
                return self.syslog.parse(sender, line, now_ns);
            }
            LineKind::Auto if line.first() == Some(&b'{') => {}
            _ if space::trim(line).is_empty() => return None,
            _ => {}
        }
        Some(match kind {
            LineKind::Detect => self.detect(line, now_ns),
            LineKind::Klog => self.klog(line, now_ns),
            LineKind::Kata => self.kata.parse(&mut self.times, line),
            LineKind::Pattern(pattern) => self.pattern.parse(pattern, &self.zone, line, now_ns),
            LineKind::Talos => talos::parse(&mut self.json, &mut self.times, space::trim(line)),
            LineKind::Logfmt => self.logfmt.parse(&mut self.times, line),
            _ => peer::parse(&mut self.json, &mut self.times, line),
        })
    }

    /// The same for [`LineKind::LocalSyslog`], of a process that the kernel has named.
    pub fn parse_from<'p>(&'p mut self, process: Process, line: &'p [u8], now_ns: i64) -> Option<Parsed<'p>> {
        self.syslog.parse(Sender::Here(Some(process)), line, now_ns)
    }
}

impl LineParser {
    fn klog<'p>(&'p mut self, line: &'p [u8], now_ns: i64) -> Parsed<'p> {
        match self.klog.parse(&self.zone, line, now_ns) {
            Some(parsed) => parsed,
            None => {
                self.unparsed.clear(line.len());
                self.unparsed.flag("unparsed");
                let parts = self.unparsed.parts(line, Span::new(0, line.len()));
                Parsed { parts, ..Parsed::text(line) }
            }
        }
    }

    fn detect<'p>(&'p mut self, line: &'p [u8], now_ns: i64) -> Parsed<'p> {
        match line[0] {
            b'{' => return talos::parse(&mut self.json, &mut self.times, space::trim(line)),
            b'I' | b'W' | b'E' | b'F' if line.get(1).is_some_and(u8::is_ascii_digit) => {
                return self.klog.parse(&self.zone, line, now_ns).unwrap_or(Parsed::text(line));
            }
            _ => {}
        }
        if self.logfmt.read_whole(line) && self.logfmt.is_certain(line) {
            return self.logfmt.give(&mut self.times, line);
        }
        Parsed::text(line)
    }
}

impl Default for LineParser {
    /// In UTC.
    fn default() -> Self {
        Self::new(TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::bytes;

    /// 2026-03-10T00:00:00Z.
    const NOW: i64 = 1_773_100_800_000_000_000;

    /// Time, level, body, and fields as `key=value`.
    fn parsed(kind: LineKind, line: &str) -> (Option<i64>, Level, String, Vec<String>) {
        let mut parser = LineParser::default();
        let Parsed { time_ns, level, parts, .. } = parser.parse(kind, line.as_bytes(), NOW).unwrap();
        let text = |span| String::from_utf8_lossy(bytes(parts.line, parts.more, span)).into_owned();
        let fields = parts.fields.iter().map(|field| format!("{}={}", text(field.key), text(field.value))).collect();
        (time_ns, level, text(parts.body), fields)
    }

    #[test]
    fn lines_of_klog() {
        let (time, level, body, fields) =
            parsed(LineKind::Klog, "E0102 03:04:05.678901   12345 file.go:12] it's gone: x");
        assert_eq!((time, level, body.as_str()), (Some(1_767_323_045_678_901_000), Level::Err, "it's gone: x"));
        assert_eq!(fields, ["caller=file.go:12", "pid=12345"]);
        // Later than a month from now is last year's.
        assert_eq!(parsed(LineKind::Klog, "I1231 00:00:00.000000 1 a.go:1] x").0, Some(1_767_139_200_000_000_000));
        let line =
            r#"I0102 03:04:05.678901       1 kubelet.go:2] "Pod \"a\" updated" pod="kube-system/x" n=3 err="a\nb""#;
        let (.., body, fields) = parsed(LineKind::Klog, line);
        assert_eq!(body, r#"Pod "a" updated"#);
        assert_eq!(fields, ["caller=kubelet.go:2", "err=a\nb", "n=3", "pid=1", "pod=kube-system/x"]);
        let odd = r#"I0102 03:04:05.678901 1 k.go:2] "SyncLoop ADD" pods=["a/b","c"]"#;
        assert_eq!(parsed(LineKind::Klog, odd).2, r#""SyncLoop ADD" pods=["a/b","c"]"#);
        assert_eq!(parsed(LineKind::Klog, "W0102 03:04:05.678901 1 a.go:1]").2, "");
    }

    #[test]
    fn what_is_not_klogs_is_marked() {
        for line in [
            "goroutine 1 [running]:",
            "I",
            "I0230 00:00:00.000000 1 a.go:1] x",
            "I0102 03:04:05.678901 1 a.go:1 x",
            "I0102 03:04:05.678901 007 a.go:1] x",
            "X0102 03:04:05.678901 1 a.go:1] x",
        ] {
            let (time, level, body, fields) = parsed(LineKind::Klog, line);
            assert_eq!((time, level, body.as_str()), (None, Level::Info, line));
            assert_eq!(fields, ["unparsed=true"], "{line}");
        }
    }

    #[test]
    fn what_a_line_is_shows() {
        let fields = |line| parsed(LineKind::Detect, line).3;
        assert_eq!(fields(r#"{"level":"warn","msg":"x","n":1}"#), ["n=1"]);
        assert_eq!(fields("I0102 03:04:05.678901 1 a.go:1] x"), ["caller=a.go:1", "pid=1"]);
        assert_eq!(fields("level=warn msg=x n=1"), ["n=1"]);
        for text in [
            "x=1 is what I set",
            "a=b",
            r#"url?a=b c=d&e="f"#,
            "Iteration 5 done",
            "I0 is zero",
            "E=mc2 was said",
            "{not json}",
            "{",
            "[1,2]",
            "(a)=1 (b)=2",
            "key = value",
            "GET /?q=1 HTTP/1.1",
        ] {
            let (time, level, body, fields) = parsed(LineKind::Detect, text);
            assert_eq!((time, level, body.as_str(), fields.len()), (None, Level::Info, text, 0));
        }
    }

    proptest! {
        #[test]
        fn what_klog_writes_is_read(
            (letter, level) in prop_oneof![
                Just(('I', Level::Info)), Just(('W', Level::Warning)), Just(('E', Level::Err)), Just(('F', Level::Crit))
            ],
            // Of the year that has begun, before NOW.
            of_day in 0..86_400i64, day in 0..60i64, micros in 0..1_000_000i64,
            pid in 0..10_000_000u32, file in "[a-z_]{1,9}\\.go", number in 1..9999u32, text in "[^\"][ -~]{0,30}|",
        ) {
            let time_ns = 1_767_225_600_000_000_000 + (day * 86_400 + of_day) * 1_000_000_000 + micros * 1000;
            let time = jiff::Timestamp::from_nanosecond(time_ns.into()).unwrap().strftime("%m%d %H:%M:%S%.6f");
            let line = format!("{letter}{time} {pid:>7} {file}:{number}] {text}");
            let (read_ns, read_level, body, fields) = parsed(LineKind::Klog, &line);
            prop_assert_eq!((read_ns, read_level, body), (Some(time_ns), level, text));
            prop_assert_eq!(fields, [format!("caller={file}:{number}"), format!("pid={pid}")]);
        }

        #[test]
        fn nothing_panics(line in prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..80),
            "[IWEF][0-9]{4} [0-9:.]{0,16} *[0-9]{0,9} [a-z.:0-9]{0,9}\\]?.{0,20}".prop_map(String::into_bytes),
            "[a-z]{0,4}=[ -~]{0,30}".prop_map(String::into_bytes),
        ], now_ns: i64) {
            let mut parser = LineParser::default();
            for kind in [LineKind::Auto, LineKind::Detect, LineKind::Klog, LineKind::Kata, LineKind::Logfmt] {
                let Some(Parsed { parts, .. }) = parser.parse(kind, &line, now_ns) else { continue };
                for field in parts.fields {
                    let value = bytes(parts.line, parts.more, field.value);
                    prop_assert!(!field.is_json || serde_json::from_slice::<serde_json::Value>(value).is_ok());
                }
            }
        }
    }
}
