//! JSON objects: what is read says what serde_json reads, wherever both take it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::json::JsonParser;

fuzz_target!(|data: &[u8]| {
    let mut parser = JsonParser::default();
    let is_object = parser.read(data, 0);
    let theirs = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(data);
    if let Ok(object) = &theirs {
        assert!(is_object, "serde_json takes it");
        assert_eq!(parser.members(data).len(), object.len());
    }
    if is_object {
        for (key, value, is_json) in parser.members(data) {
            let key = std::str::from_utf8(key).expect("a key is UTF-8");
            if is_json {
                ringward_fuzz::assert_json(value);
            } else {
                let text = std::str::from_utf8(value).expect("a text is UTF-8");
                if let Ok(object) = &theirs {
                    assert_eq!(object[key].as_str(), Some(text));
                }
            }
        }
        // Once more, now that the object's layout is known.
        let first: Vec<_> = parser.members(data).map(|(key, value, _)| (key.to_vec(), value.to_vec())).collect();
        assert!(parser.read(data, 0));
        let again: Vec<_> = parser.members(data).map(|(key, value, _)| (key.to_vec(), value.to_vec())).collect();
        assert_eq!(first, again);
    }
});
