use super::*;
use crate::record::Stream;
use crate::source::container::LogFormat;

fn line(second: u32, text: &str) -> String {
    format!("1970-01-01T00:00:{second:02}Z stdout F {text}\n")
}

fn texts(series: &mut Series) -> String {
    let mut text = String::new();
    while let Some(chunk) = series.next_chunk().unwrap() {
        assert_eq!(chunk.stream, Stream::Stdout);
        text += std::str::from_utf8(&chunk.payload).unwrap();
    }
    text
}

fn cri(path: &Path) -> LogFile {
    LogFile { path: path.to_owned(), format: LogFormat::Cri }
}

#[test]
fn rotated_files_come_first_and_oldest_first() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), line(1, text)).unwrap();
    write("0.log", "d");
    write("0.log.20240101-000000", "b");
    write("0.log.20231231-235959", "a");
    write("0.log.20240102-000000", "c");
    write("0.log.20220101-000000.gz", "no");
    write("10.log", "no");
    let log = cri(&directory.path().join("0.log"));
    assert_eq!(texts(&mut Series::open(&log, 0, u64::MAX).unwrap()), "a\nb\nc\nd\n");
    let two = 2 * line(1, "d").len() as u64;
    assert_eq!(texts(&mut Series::open(&log, 0, two).unwrap()), "c\nd\n", "the newest, within the bound");
    assert_eq!(texts(&mut Series::open(&log, 0, two - 1).unwrap()), "d\n", "whole lines only");
    assert_eq!(texts(&mut Series::open(&log, i64::MAX, u64::MAX).unwrap()), "d\n", "older files have nothing newer");
}

#[test]
fn dockers_rotated_files_count_up_with_their_age() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("x-json.log", "c"), ("x-json.log.1", "b"), ("x-json.log.2", "a"), ("x-json.log.10", "0")] {
        let line = format!("{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2016-10-06T00:17:09Z\"}}\n");
        fs::write(directory.path().join(name), line).unwrap();
    }
    let log = LogFile { path: directory.path().join("x-json.log"), format: LogFormat::DockerJson };
    assert_eq!(texts(&mut Series::open(&log, 0, u64::MAX).unwrap()), "0\na\nb\nc\n");
}

#[test]
fn reading_goes_on_across_rotations() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let append = |path: &Path, second: u32, text: &str| {
        let before = fs::read_to_string(path).unwrap_or_default();
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, line(second, text).as_bytes()).unwrap();
        assert!(fs::metadata(path).unwrap().len() > before.len() as u64);
    };
    append(&path, 1, "one");
    let mut series = Series::open(&cri(&path), 0, u64::MAX).unwrap();
    assert_eq!(texts(&mut series), "one\n");
    let rotate = |stamp: &str| {
        let to = directory.path().join(format!("0.log.{stamp}"));
        fs::rename(&path, &to).unwrap();
        to
    };
    let first = rotate("20240101-000000");
    assert_eq!(texts(&mut series), "");
    fs::write(&path, "").unwrap();
    append(&first, 2, "to the old one");
    assert_eq!(texts(&mut series), "to the old one\n", "the new one is empty");
    append(&path, 3, "two");
    rotate("20240102-000000");
    append(&path, 4, "three");
    assert_eq!(texts(&mut series), "two\nthree\n", "two rotations at once");
}
