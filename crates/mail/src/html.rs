//! HTML as text for people.
//!
//! In: HTML, however broken. Out: its words; a line for each block, a blank between cells. Entities and white space are mail-parser's; it knows of tags only `br` and `p`, and
//! of `head`, `style`, `script` and `template` only those without attributes, so it is handed simpler HTML. In linear time.

use mail_parser::decoders::html::html_to_text;

/// Begin and end a line (HTML, "block-level").
const BLOCKS: [&str; 41] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "details",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];
/// What is in them is not shown.
const HIDDEN: [&str; 4] = ["head", "style", "script", "template"];

/// HTML as text for people.
pub fn text_of_html(html: &str) -> String {
    html_to_text(&simpler(html))
}

/// The same text, with `<br>`, a blank, or nothing for each tag that does not hide anything.
fn simpler(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    // Nothing is in this line yet: blocks within blocks make no empty lines.
    let mut is_empty = true;
    let mut is_hidden = false;
    while let Some((text, after)) = rest.split_once('<') {
        out.push_str(text);
        is_empty &= is_hidden || text.trim().is_empty();
        if let Some(comment) = after.strip_prefix('!').filter(|comment| comment.starts_with("--")) {
            rest = comment.split_once("-->").map_or("", |(_, behind)| behind);
            continue;
        }
        let Some((tag, behind)) = after.split_once(['<', '>']) else {
            // Cut off.
            rest = "";
            continue;
        };
        if after.get(tag.len()..).is_some_and(|end| end.starts_with('<')) {
            let is_tag = tag.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?'));
            if !is_tag {
                out.push_str("&lt;");
                out.push_str(tag);
                is_empty &= is_hidden;
            }
            rest = after.get(tag.len()..).unwrap_or_default();
            continue;
        }
        rest = behind;
        let (is_end, name) = tag.strip_prefix('/').map_or((false, tag), |name| (true, name));
        let length = name.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(name.len());
        let name = name.get(..length).unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            name if HIDDEN.contains(&name) => {
                is_hidden = !is_end;
                out.extend([if is_end { "</" } else { "<" }, name, ">"]);
            }
            _ if is_hidden => {}
            "td" | "th" if !is_empty => out.push(' '),
            "br" => {
                out.push_str("<br>");
                is_empty = true;
            }
            // An empty paragraph is an empty line.
            "p" if is_end => {
                out.push_str("<br>");
                is_empty = true;
            }
            name if !is_empty && (name == "p" || BLOCKS.contains(&name)) => {
                out.push_str("<br>");
                is_empty = true;
            }
            _ => {}
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_of_two_blocks_or_cells_are_two() {
        for (html, text) in [
            ("<table><tr><td>Boots</td><td>49</td><td>00</td></tr><tr><th>a<td>b</table>c", "Boots 49 00\na b\nc"),
            ("<div>x</div><div class=\"y>\">y</div>", "x\n\">y\n"),
            ("<div><div><p>x</p></div></div><DIV\n>y<div>z", "x\ny\nz"),
            ("<ul><li>one</li><li>two<li>three</ul>four", "one\ntwo\nthree\nfour"),
            ("<h1>Head</h1>text<hr/>more<br class=\"x\">end", "Head\ntext\nmore\nend"),
            ("<p>A &amp; B</p><p>c <b>d</b>e</p>", "A & B\nc de\n"),
            ("x<!-- <td> <div>no</div> --->y<!-->z<!---->w", "xyzw"),
            ("<head><title>t</title><style type=\"text/css\">p{}</style></head><style media=x>q{}</style>a", "a"),
            ("a &lt; b <c>d < e<br>f", "a < b d < e\nf"),
            ("cut <div off", "cut"),
            ("cut <!-- off", "cut"),
            ("<", ""),
        ] {
            assert_eq!(text_of_html(html), text, "{html}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(html in "[<>&;#/!\\- \"=a-dé\n]{0,60}(<td>|<div|<!--|-->|</p>|<style x>)?[<>/a-d -]{0,20}") {
            text_of_html(&html);
        }
    }
}
