//! For fuzz targets: text made of a grammar's own words by any bytes, so that parsers are met beyond their first line.
//!
//! Targets are tests in modules named `fuzz`, run by `bolero`: for about a second each with all tests, for minutes by `make fuzz`.

/// Text of these words: each byte chooses one, the highest bytes take the next byte as it is.
pub(crate) fn sentence(words: &[&str], bytes: &[u8]) -> String {
    let (mut text, mut bytes) = (String::new(), bytes.iter());
    while let Some(byte) = bytes.next() {
        match words.get(usize::from(*byte) * (words.len() + 1) / 256) {
            Some(word) => text.push_str(word),
            None => text.push(char::from(bytes.next().copied().unwrap_or(b' '))),
        }
    }
    text
}

#[test]
fn every_word_and_every_byte_is_reached() {
    let words = ["a", "bb", "ccc"];
    let all: Vec<u8> = (0..=255).collect();
    let text = sentence(&words, &all);
    assert!(words.iter().all(|word| text.contains(word)) && text.contains('\u{f1}'));
}
