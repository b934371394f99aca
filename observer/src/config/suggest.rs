//! The nearest thing that would have been understood.

/// A sentence about a word that is not one of those `known`.
pub fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, known.clone()) {
        return format!("unknown {what} \"{word}\"; did you mean \"{near}\"?");
    }
    let known: Vec<&str> = known.collect();
    let known = known.join(", ");
    format!("unknown {what} \"{word}\"; there are: {known}")
}

/// The known word that a slip of the finger or two would turn into `word`.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["listen", "limits", "ring_bytes", "rings"];

    #[test]
    fn a_slip_is_recognised() {
        let cases = [
            ("lisen", Some("listen")),
            ("limit", Some("limits")),
            ("ring-bytes", Some("ring_bytes")),
            ("ringbyte", Some("ring_bytes")),
            ("colour", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, KNOWN.into_iter()), expected, "{word}");
        }
    }

    #[test]
    fn without_a_near_word_all_are_named() {
        assert_eq!(
            unknown("key", "colour", KNOWN.into_iter()),
            "unknown key \"colour\"; there are: listen, limits, ring_bytes, rings"
        );
    }
}
