//! UTF-7 (RFC 2152): ASCII, with other characters as UTF-16 in base64 between `+` and `-`.

/// Decodes; bytes beyond ASCII are taken as Latin-1, broken runs end where they break.
pub(super) fn decode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'+' {
            out.push(char::from(*first));
            continue;
        }
        let length = rest.iter().take_while(|it| value(**it).is_some()).count();
        let (run, after) = rest.split_at(length);
        if length == 0 {
            out.push('+');
        }
        push_run(run, &mut out);
        rest = after.strip_prefix(b"-").unwrap_or(after);
    }
    out
}

fn push_run(run: &[u8], out: &mut String) {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut units = Vec::with_capacity(run.len() * 3 / 8 + 1);
    for digit in run.iter().filter_map(|it| value(*it)) {
        bits = bits << 6 | digit;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count) as u16);
            bits &= (1 << count) - 1;
        }
    }
    out.extend(char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}
