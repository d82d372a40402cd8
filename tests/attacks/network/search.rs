//! Searching bytes for many needles in several encodings at once.

use std::collections::BTreeMap;

/// An encoding and its name.
pub type Encoding = (&'static str, fn(&str) -> Vec<u8>);

/// How a planted text could stand somewhere.
pub const ENCODINGS: [Encoding; 6] = [
    ("as it is", |text| text.as_bytes().to_vec()),
    ("UTF-16, little end first", |text| {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }),
    ("UTF-16, big end first", |text| {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }),
    ("hex", |text| hex(text).into_bytes()),
    ("HEX", |text| hex(text).to_uppercase().into_bytes()),
    ("reversed", |text| text.bytes().rev().collect()),
];

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Needles by their first two bytes, so that one pass finds all.
pub struct Search {
    /// For each pair of bytes that begins a needle, where its needles are.
    begins: Vec<Option<usize>>,
    needles: Vec<Vec<(String, Vec<u8>)>>,
}

impl Search {
    pub fn new() -> Self {
        Self {
            begins: vec![None; 1 << 16],
            needles: Vec::new(),
        }
    }

    /// Adds a text in all encodings; what it is called is its name and the encoding's.
    pub fn add_text(&mut self, name: &str, text: &str) {
        for (encoding, encode) in ENCODINGS {
            let name = if encoding == "as it is" {
                name.to_owned()
            } else {
                format!("{name}, {encoding}")
            };
            self.add(&name, &encode(text));
        }
    }

    pub fn add(&mut self, name: &str, needle: &[u8]) {
        let place = &mut self.begins[pair(needle[0], needle[1])];
        let index = *place.get_or_insert_with(|| {
            self.needles.push(Vec::new());
            self.needles.len() - 1
        });
        self.needles[index].push((name.to_owned(), needle.to_vec()));
    }

    /// Notes which needles are in these bytes, and how often.
    pub fn look(&self, bytes: &[u8], found: &mut Found) {
        for (at, two) in bytes.windows(2).enumerate() {
            let Some(index) = self.begins[pair(two[0], two[1])] else {
                continue;
            };
            for (name, needle) in &self.needles[index] {
                if bytes[at..].starts_with(needle) {
                    *found.entry(name.clone()).or_default() += 1;
                }
            }
        }
    }
}

/// What was found, and how often.
pub type Found = BTreeMap<String, usize>;

fn pair(first: u8, second: u8) -> usize {
    (usize::from(first) << 8) | usize::from(second)
}
