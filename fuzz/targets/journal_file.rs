//! Files of systemd-journald: whatever is in them, reading comes to an end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::parse::journal::{HEADER_LEN, Header, LONGEST_FIELD, MOST_FIELDS, Walk, data, entry};

fuzz_target!(|input: &[u8]| {
    read(input);
    for compact in [false, true] {
        let mut file = good(compact);
        ringward_fuzz::change(&mut file, input);
        read(&file);
    }
});

fn read(file: &[u8]) {
    let Ok(header) = Header::parse(file) else { return };
    let (mut bytes, mut walk, mut offsets, mut text) = (file, Walk::default(), Vec::new(), Vec::new());
    let mut before = 0;
    while let Ok(Some(offset)) = walk.next(&mut bytes, &header) {
        // Each entry takes room in an array, which takes room in the file.
        assert!(walk.passed() > before && walk.passed() <= file.len() as u64);
        before = walk.passed();
        let Ok(_) = entry(&mut bytes, &header, offset, &mut offsets) else { continue };
        assert!(offsets.len() <= MOST_FIELDS);
        for offset in &offsets {
            text.clear();
            match data(&mut bytes, &header, *offset, &mut text) {
                Ok(field) => assert!(field.len == text.len() && field.len <= LONGEST_FIELD),
                Err(_) => assert!(text.is_empty()),
            }
        }
    }
    let _ = Walk::default().seek_end(&mut bytes, &header);
    let _ = Walk::default().seek_after(&mut bytes, &header, 2);
}

/// Three entries with two fields each, of which one is said to be compressed; in two arrays.
fn good(compact: bool) -> Vec<u8> {
    let mut file = vec![0; HEADER_LEN];
    let mut object = |kind: u8, flags: u8, body: &[u8]| {
        file.resize(file.len().next_multiple_of(8), 0);
        let offset = file.len() as u64;
        let head = [&[kind, flags, 0, 0, 0, 0, 0, 0][..], &(body.len() as u64 + 16).to_le_bytes()].concat();
        file.extend([&head, body].concat());
        offset
    };
    let before = if compact { 72 } else { 64 };
    let mut field = |flags, text: &[u8]| object(1, flags, &[&vec![0; before - 16][..], text].concat());
    let fields = [field(0, b"MESSAGE=text"), field(4, b"\x28\xb5\x2f\xfd\x00\x00\x01\x00\x00")];
    let entries: Vec<u64> = (1..=3_u64)
        .map(|number| {
            let item = |offset: &u64| match compact {
                true => (*offset as u32).to_le_bytes().to_vec(),
                false => [offset.to_le_bytes(), [0; 8]].concat(),
            };
            object(
                3,
                0,
                &[&number.to_le_bytes()[..], &[0; 40], &fields.iter().flat_map(item).collect::<Vec<_>>()].concat(),
            )
        })
        .collect();
    let item = |offset: &u64| offset.to_le_bytes()[..if compact { 4 } else { 8 }].to_vec();
    let array =
        |next: u64, entries: &[u64]| [next.to_le_bytes().to_vec(), entries.iter().flat_map(item).collect()].concat();
    let first = object(6, 0, &array(0, &entries[..2]));
    let second = object(6, 0, &array(0, &entries[2..]));
    let mut put = |at: u64, number: u64| file[at as usize..][..8].copy_from_slice(&number.to_le_bytes());
    put(first + 16, second);
    for (at, number) in [(88, HEADER_LEN as u64), (152, 3), (160, 3), (168, 1), (176, first)] {
        put(at, number);
    }
    file[..8].copy_from_slice(b"LPKSHHRH");
    file[12] = if compact { 1 << 4 | 1 << 3 } else { 1 << 3 };
    file
}
