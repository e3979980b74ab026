//! Makes text that comes from others safe to show. Others are, for example, a service and the sender of a message.

use std::fmt::Write;

/// The text without the characters that change how a terminal shows other text.
pub(super) fn text(text: &str) -> String {
    let space = |character: char| if character.is_whitespace() { ' ' } else { character };
    text.chars().map(space).filter(|character| !controls_terminal(*character)).collect()
}

/// JSON in which such characters are escaped. serde_json escapes only those of ASCII.
pub(super) fn json(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut json, character| {
        if controls_terminal(character) && character != '\n' {
            // Writing to a string cannot fail. Each of these characters has four hexadecimal digits.
            let _ = write!(json, "\\u{:04x}", u32::from(character));
        } else {
            json.push(character);
        }
        json
    })
}

/// A field of CSV which a spreadsheet does not interpret as a formula.
pub(super) fn field(field: &str) -> String {
    let field = text(field);
    if field.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field }
}

/// Whether the character moves the cursor, starts an escape sequence, is invisible, or reverses the text after it.
fn controls_terminal(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_contain_no_character_that_controls_a_terminal() {
        assert_eq!(text("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e é"), "a[2Jb cde é");
        assert_eq!(json("{\n\"a\u{9b}\u{202e}é\"}"), "{\n\"a\\u009b\\u202eé\"}");
    }

    #[test]
    fn a_field_that_looks_like_a_formula_is_quoted() {
        assert_eq!(["=1+1", "\t@x", "-1", "r_1"].map(field), ["'=1+1", "' @x", "'-1", "r_1"]);
    }
}
