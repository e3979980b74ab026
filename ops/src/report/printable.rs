//! Text from others, such as a service or whoever can send to the queue, as it can be shown.

use std::fmt::Write;

/// The text without characters that a terminal would obey.
pub(super) fn text(text: &str) -> String {
    let space = |character: char| if character.is_whitespace() { ' ' } else { character };
    text.chars().map(space).filter(|character| !is_obeyed(*character)).collect()
}

/// JSON without such characters. serde_json escapes only those of ASCII.
pub(super) fn json(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut json, character| {
        if is_obeyed(character) && character != '\n' {
            // Writing to a string cannot fail. Each of these characters has four hexadecimal digits.
            let _ = write!(json, "\\u{:04x}", u32::from(character));
        } else {
            json.push(character);
        }
        json
    })
}

/// A field of CSV that a spreadsheet does not take for a formula.
pub(super) fn field(field: &str) -> String {
    let field = text(field);
    if field.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field }
}

/// Whether the character moves the cursor, starts an escape sequence, is invisible, or reverses the text after it.
fn is_obeyed(character: char) -> bool {
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
    fn a_terminal_obeys_nothing() {
        assert_eq!(text("a\u{1b}[2Jb\nc\u{9b}d\u{202e}e é"), "a[2Jb cde é");
        assert_eq!(json("{\n\"a\u{9b}\u{202e}é\"}"), "{\n\"a\\u009b\\u202eé\"}");
    }

    #[test]
    fn a_spreadsheet_sees_no_formula() {
        assert_eq!(["=1+1", "\t@x", "-1", "r_1"].map(field), ["'=1+1", "' @x", "'-1", "r_1"]);
    }
}
