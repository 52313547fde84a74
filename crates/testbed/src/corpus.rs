//! Mail to put on a server. Out: messages that we wrote ourselves, of many kinds and sizes, each with a token that is nowhere else. All octets are
//! ASCII with CRLF, without NUL, so that every server stores them unchanged (8-bit text is in transfer encodings).

/// How many kinds there are; they take turns.
const KINDS: usize = 10;
/// Sizes reach from about 200 octets to this.
const LARGEST: usize = 2_000_000;

/// `count` different messages, the same each time. The n-th holds [`canary`]`(n)`, in Subject and body.
pub fn mails(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(mail).collect()
}

/// The token of the n-th message, counted from 0. No other message holds it, and none in any other form than this.
pub fn canary(number: usize) -> String {
    format!("canary{number:05}x{:016x}", Random::seeded(number).next())
}

fn mail(number: usize) -> Vec<u8> {
    let random = &mut Random::seeded(number.wrapping_add(1_000_000));
    let token = canary(number);
    let size = size(number, random);
    let (extra, body) = match number % KINDS {
        0 => plain(&token, size, random),
        1 => html_with_attachment(&token, size, random),
        2 => utf8(&token, size, random),
        3 => latin1(&token, size, random),
        4 => delivery_status(&token),
        5 => calendar(&token),
        6 => odd_fields(&token, size, random),
        7 => forwarded(&token, size, random),
        8 => bare(&token),
        _ => flowed(&token, size, random),
    };
    let head = match number % KINDS {
        // Kind 8 has next to nothing: a Subject and a line.
        8 => format!("Subject: note {token}\r\n"),
        _ => format!(
            "Return-Path: <{from}@sender.example>\r\n\
             Received: from mx{at}.example (mx{at}.example [192.0.2.{at}])\r\n\tby mail.example.test with ESMTP id q{number}\r\n\
             \tfor <alice@example.test>; {date}\r\n\
             From: {name} <{from}@sender.example>\r\nTo: Alice <alice@example.test>\r\n\
             Subject: {subject} {token}\r\nDate: {date}\r\nMessage-ID: <{number}.{id:x}@sender.example>\r\n",
            from = pick(&["carol", "dan", "erin.frost", "news+list"], random),
            name = pick(&["Carol", "\"Dan, of Accounts\"", "=?utf-8?Q?Er=C3=ADn?=", "The (tea) News"], random),
            subject = pick(
                &["Tea at four", "Re: [list] minutes", "=?utf-8?B?w5xiZXJzaWNodA==?=", "AW: the  two  blanks"],
                random
            ),
            date = date(random),
            at = random.below(250) + 1,
            id = random.next(),
        ),
    };
    [head, extra, "\r\n".to_owned(), body].concat().into_bytes()
}

/// Most are small, one in forty is very large.
fn size(number: usize, random: &mut Random) -> usize {
    match number % 40 {
        39 | 21 => LARGEST - random.below(LARGEST / 2),
        at if at % 5 == 1 => 2_000 + random.below(60_000),
        _ => 40 + random.below(1_500),
    }
}

fn plain(token: &str, size: usize, random: &mut Random) -> (String, String) {
    (String::new(), format!("This is {token}.\r\n\r\n{}", prose(size, random)))
}

fn html_with_attachment(token: &str, size: usize, random: &mut Random) -> (String, String) {
    let extra = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_outer 1\"\r\n";
    let body = format!(
        "Not for old readers.\r\n--=_outer 1\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n\
         --inner\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nIn short: {token}\r\n\
         --inner\r\nContent-Type: text/html; charset=us-ascii\r\n\r\n<html><body><p>In short: <b>{token}</b></p></body></html>\r\n\
         --inner--\r\n--=_outer 1\r\nContent-Type: application/octet-stream; name=\"report.bin\"\r\n\
         Content-Disposition: attachment;\r\n filename*0=\"re\";\r\n filename*1=\"port.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\
         --=_outer 1--\r\n",
        base64_lines(size, random),
    );
    (extra.to_owned(), body)
}

fn utf8(token: &str, size: usize, random: &mut Random) -> (String, String) {
    let extra = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n";
    (
        extra.to_owned(),
        format!("Gr=C3=BC=C3=9Fe =E2=80=94 {token}=\r\n, and so on =\r\nand on.\r\n{}", prose(size, random)),
    )
}

fn latin1(token: &str, size: usize, random: &mut Random) -> (String, String) {
    let extra = "Mime-Version: 1.0 (a comment)\r\nContent-Type: TEXT/Plain;\r\n\tcharset=\"ISO-8859-1\"\r\n\
                 Content-Transfer-Encoding: Quoted-Printable\r\n";
    (extra.to_owned(), format!("Na=EFve caf=E9 {token}\r\n{}", prose(size, random)))
}

/// RFC 3464.
fn delivery_status(token: &str) -> (String, String) {
    let extra = "MIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\n\
                 Content-Type: multipart/report; report-type=delivery-status; boundary=\"dsn\"\r\n";
    let body = format!(
        "--dsn\r\n\r\nYour message could not be delivered: {token}\r\n--dsn\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; nobody@example.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
         --dsn\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: alice@example.test\r\nSubject: what came back\r\n\r\n--dsn--\r\n"
    );
    (extra.to_owned(), body)
}

/// RFC 5545 by RFC 6047.
fn calendar(token: &str) -> (String, String) {
    let extra = "MIME-Version: 1.0\r\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\r\n";
    let body = format!(
        "BEGIN:VCALENDAR\r\nPRODID:-//testbed//EN\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:{token}@sender.example\r\n\
         DTSTAMP:20240102T030405Z\r\nDTSTART:20240203T160000Z\r\nSUMMARY:Tea\\, at four\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    (extra.to_owned(), body)
}

/// Legal, and rarely seen.
fn odd_fields(token: &str, size: usize, random: &mut Random) -> (String, String) {
    let mut extra = String::from(
        "X-Empty:\r\nx-lower:value\r\nX-Folded:\r\n \tdeep\r\n\tand deeper\r\nReceived: again\r\nKeywords: a,\r\n b\r\n",
    );
    extra += &format!("X-Long: {}\r\nReferences:", "word ".repeat(random.below(150)));
    for _ in 0..random.below(30) {
        extra += &format!("\r\n <{:x}@sender.example>", random.next());
    }
    extra += "\r\nList-Unsubscribe: <https://list.example/leave>\r\nDKIM-Signature: v=1; a=rsa-sha256; d=sender.example;\r\n\tb=AAAA\r\n";
    (extra, format!("{token}\r\n.\r\n..\r\nFrom the start of a line\r\n\r\n--\r\n-- \r\n{}", prose(size, random)))
}

fn forwarded(token: &str, size: usize, random: &mut Random) -> (String, String) {
    let extra = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=fwd\r\nX-Priority: 1 (Highest)\r\n";
    let body = format!(
        "--fwd\r\nContent-Type: text/plain\r\n\r\nSee below.\r\n--fwd\r\nContent-Type: message/rfc822\r\n\r\n\
         From: frank@elsewhere.example\r\nSubject: {token}\r\n\r\n{}\r\n--fwd--\r\n",
        prose(size, random),
    );
    (extra.to_owned(), body)
}

fn bare(token: &str) -> (String, String) {
    (String::new(), format!("{token}, and no line end at the end of this"))
}

fn flowed(token: &str, size: usize, random: &mut Random) -> (String, String) {
    let extra = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii; format=flowed; delsp=yes\r\n\
                 In-Reply-To: <before@sender.example>\r\n";
    (
        extra.to_owned(),
        format!("> what was \r\n> said\r\n\r\nYes: {token} \r\n{}\r\n-- \r\nD.\r\n\r\n\r\n", prose(size, random)),
    )
}

/// At least `size` octets in lines.
fn prose(size: usize, random: &mut Random) -> String {
    const WORDS: [&str; 16] = [
        "tea", "kettle", "the", "of", "harbour", "morning", "and", "letters", "quietly", "seven", "under", "were",
        "sent", "a", "lantern", "without",
    ];
    let mut text = String::with_capacity(size + 80);
    while text.len() < size {
        for _ in 0..=random.below(9) {
            text += pick(&WORDS, random);
            text.push(' ');
        }
        text.pop();
        text += ".\r\n";
    }
    text
}

/// At least `size` octets of an attachment that does not compress.
fn base64_lines(size: usize, random: &mut Random) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(size + 80);
    while text.len() < size {
        for _ in 0..19 {
            let mut bits = random.next();
            for _ in 0..4 {
                text.push(char::from(ALPHABET[usize::try_from(bits & 63).expect("six bits")]));
                bits >>= 6;
            }
        }
        text += "\r\n";
    }
    text
}

fn date(random: &mut Random) -> String {
    let month = pick(&["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], random);
    let (day, year) = (random.below(28) + 1, 1999 + random.below(26));
    format!(
        "{day} {month} {year} {:02}:{:02}:{:02} +0{}00",
        random.below(24),
        random.below(60),
        random.below(60),
        random.below(10)
    )
}

fn pick<'a>(words: &[&'a str], random: &mut Random) -> &'a str {
    words[random.below(words.len())]
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn seeded(seed: usize) -> Random {
        Random(u64::try_from(seed).expect("64 bits").wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("64 bits");
        usize::try_from(self.next() % limit).expect("below a usize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_differ_and_every_server_can_store_them() {
        let mails = mails(120);
        assert_eq!(mails, super::mails(120));
        for (number, mail) in mails.iter().enumerate() {
            let text = std::str::from_utf8(mail).expect("ASCII");
            assert!(text.is_ascii() && !text.contains('\0'), "{number}");
            assert_eq!(text.matches("\r\n").count(), text.matches('\n').count(), "{number}");
            assert_eq!(text.matches("\r\n").count(), text.matches('\r').count(), "{number}");
            assert!(text.split("\r\n").all(|line| line.len() <= 998), "{number}");
            let (header, body) = text.split_once("\r\n\r\n").expect("a body");
            assert!(header.contains(&canary(number)) && body.contains(&canary(number)), "{number}");
            let next = canary((number + 1) % mails.len());
            assert!(!text.contains(&next) && text.matches("canary").count() == text.matches(&canary(number)).count());
        }
        assert!(mails.iter().any(|mail| mail.len() < 200) && mails.iter().any(|mail| mail.len() > 1_000_000));
    }
}
