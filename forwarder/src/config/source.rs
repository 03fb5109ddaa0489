//! Configuration files → text: read whole, bounded, and checked to be text.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use super::error::{Place, Problem};

/// A configuration is written by hand or by a template. Something larger is another file.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// A configuration's text and the name that places show.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: Arc<str>,
    pub text: String,
}

impl Source {
    pub fn new(name: &str, text: impl Into<String>) -> Source {
        Source { name: Arc::from(name), text: text.into() }
    }

    /// Reads the file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// Where it can't be opened or read, is larger than [`MAX_FILE_BYTES`], or is not text.
    pub fn read(path: &str) -> Result<Source, Problem> {
        let name: Arc<str> = Arc::from(if path == "-" { "<stdin>" } else { path });
        let problem = |place: Place, what: String, accepted: &str| Problem {
            place,
            key: String::new(),
            what,
            accepted: accepted.into(),
        };
        let bytes = read(path).map_err(|error| {
            problem(
                Place::File(name.clone()),
                format!("can't be read: {}", reason(&error)),
                "a readable file, or `-` for standard input",
            )
        })?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let what = format!("is larger than {}", super::units::Bytes(MAX_FILE_BYTES));
            return Err(problem(Place::File(name), what, "a configuration in YAML, at most 1MiB"));
        }
        match text(bytes) {
            Ok(text) => Ok(Source { name, text }),
            Err(Binary { line, column, byte }) => {
                let place = Place::Spot { file: name, line, column };
                Err(problem(place, format!("the byte 0x{byte:02x} is not text"), "YAML in UTF-8"))
            }
        }
    }
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    // One byte more than allowed, to see that there is more: /dev/zero has no end.
    let limit = MAX_FILE_BYTES + 1;
    let mut bytes = Vec::new();
    if path == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// `No such file or directory`, without the number that the standard library adds.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

struct Binary {
    line: u64,
    column: u64,
    byte: u8,
}

fn text(bytes: Vec<u8>) -> Result<String, Binary> {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            return Err(binary(error.as_bytes(), at));
        }
    };
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t');
    match text.bytes().position(|byte| control(&byte)) {
        Some(at) => Err(binary(text.as_bytes(), at)),
        None => Ok(text),
    }
}

/// The place of the byte at `at`, before which all is UTF-8.
fn binary(bytes: &[u8], at: usize) -> Binary {
    let before = &bytes[..at];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let in_line = String::from_utf8_lossy(&before[line_start..]);
    Binary {
        line: before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1,
        column: in_line.chars().count() as u64 + 1,
        byte: bytes.get(at).copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_is_located() {
        let Err(Binary { line, column, byte }) = text(b"a: 1\n\xc3\xa4: \xff".to_vec()) else { panic!() };
        assert_eq!((line, column, byte), (2, 4, 0xff));
        let Err(Binary { line, column, byte }) = text(b"\x7fELF\x02\x01".to_vec()) else { panic!() };
        assert_eq!((line, column, byte), (1, 5, 0x02));
    }

    #[test]
    fn endless_files_are_refused() {
        let problem = Source::read("/dev/zero").unwrap_err();
        assert!(problem.what.contains("larger than 1MiB"), "{problem}");
    }

    #[test]
    fn missing_files_and_directories_say_why() {
        assert!(Source::read("/nonexistent/x").unwrap_err().what.contains("no such file"));
        assert!(Source::read("/").unwrap_err().what.contains("is a directory"));
    }
}
