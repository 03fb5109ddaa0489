use super::*;

const SECOND: i64 = 1_000_000_000;

/// A CRI log with one line a second: the first is of second 0. Attached at second 5.
struct Case {
    lines: &'static [&'static str],
    stream: Stream,
    from_s: i64,
    first_s: Option<i64>,
    head: &'static str,
}

const CASE: Case =
    Case { lines: &["1", "2", "3", "4", "5", "6"], stream: Stream::Stdout, from_s: 0, first_s: Some(5), head: "6\n" };

impl Case {
    fn find(&self, is_last_attempt: bool) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let line = |(second, line): (usize, &&str)| format!("1970-01-01T00:00:{second:02}Z stdout F {line}\n");
        std::fs::write(&path, self.lines.iter().enumerate().map(line).collect::<String>()).unwrap();
        let open = Arc::new(());
        let question = BacklogQuestion {
            open: Arc::downgrade(&open),
            silent: None,
            target: 1,
            log: BacklogLog {
                file: LogFile { path, format: LogFormat::Cri },
                stream: self.stream,
                from_ns: self.from_s * SECOND,
                resume: None,
                attached_ns: 5 * SECOND,
            },
            first_ns: self.first_s.map(|second| second * SECOND),
            head: self.head.as_bytes().to_vec(),
            is_last_attempt,
        };
        match find(&question) {
            Backlog::Found(pieces) | Backlog::Silent(_, Some(pieces)) => {
                Some(pieces.iter().map(|(_, bytes)| std::str::from_utf8(bytes).unwrap()).collect())
            }
            Backlog::Silent(_, None) | Backlog::NotYet => None,
        }
    }

    #[track_caller]
    fn is(&self, expected: &str) {
        assert_eq!(self.find(true).unwrap(), expected);
    }
}

#[test]
fn short_content_waits_and_then_takes_the_first_place_that_fits() {
    assert_eq!(CASE.find(false), None);
    CASE.is("1\n2\n3\n4\n5\n");
}

#[test]
fn what_was_stamped_before_the_attachment_is_backlog_whatever_its_content() {
    Case { lines: &["6", "6", "6", "6", "6", "6"], ..CASE }.is("6\n6\n6\n6\n6\n");
    Case { lines: &["1", "2", "3", "4", "6"], ..CASE }.is("1\n2\n3\n4\n6\n");
}

#[test]
fn what_was_on_its_way_at_the_attachment_is_backlog_too() {
    let lines = &["1", "2", "3", "4", "5", "late", "later", "7"];
    Case { lines, first_s: Some(8), head: "7\n8\n", ..CASE }.is("1\n2\n3\n4\n5\nlate\nlater\n");
    Case { lines, first_s: Some(8), head: "8\n", ..CASE }.is("1\n2\n3\n4\n5\nlate\nlater\n7\n");
}

#[test]
fn a_silent_stream_has_all_of_the_file() {
    let silent = Case { first_s: None, head: "", ..CASE };
    assert_eq!(silent.find(false), None);
    silent.is("1\n2\n3\n4\n5\n6\n");
}

#[test]
fn what_an_earlier_run_captured_is_left_out() {
    Case { from_s: 3, ..CASE }.is("4\n5\n");
}

#[test]
fn a_terminal_gives_the_lines_as_they_were_written() {
    Case { lines: &["1\r", "2\r", "3\r", "4\r", "5\r", "6\r"], stream: Stream::Tty, ..CASE }.is("1\n2\n3\n4\n5\n");
}

/// The captured bytes can't be found: what was written before the first of them is told by time.
#[test]
fn a_head_that_is_not_in_the_file() {
    Case { head: "", ..CASE }.is("1\n2\n3\n4\n5\n");
    Case { head: "echoed differently\n", ..CASE }.is("1\n2\n3\n4\n5\n");
}

#[test]
fn the_newest_of_a_long_log_is_kept_within_the_bound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let text = "x".repeat(10_000);
    let line = |second: usize| format!("1970-01-01T00:00:{:02}Z stdout F {second:06}{text}\n", second / 100);
    std::fs::write(&path, (0..2000).map(line).collect::<String>()).unwrap();
    let file = LogFile { path, format: LogFormat::Cri };
    let pieces = read(&BacklogLog { file, stream: Stream::Stdout, from_ns: 0, resume: None, attached_ns: 0 }).unwrap();
    assert_eq!(pieces.bytes().len(), MAX_BACKLOG / 10_007 * 10_007);
    assert!(pieces.iter().last().unwrap().1.starts_with(b"001999"));
    assert_eq!(pieces.before(15 * SECOND), (1500 - (2000 - MAX_BACKLOG / 10_007)) * 10_007);
    assert_eq!(pieces.prefix(10_008).iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [10_007, 1]);
}
