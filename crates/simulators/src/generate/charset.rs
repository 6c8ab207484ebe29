//! Text in the character sets that mail still comes in.

/// `text` in `charset`; a question mark for what it cannot say.
pub(super) fn encode(text: &str, charset: &str) -> Vec<u8> {
    match charset {
        "utf-8" => text.as_bytes().to_vec(),
        "iso-8859-15" => each(text, |c| latin9(c).map(u16::from)),
        "windows-1252" => each(text, |c| windows_1252(c).map(u16::from)),
        "koi8-r" => each(text, |c| koi8_r(c).map(u16::from)),
        "shift_jis" => each(text, |c| look_up(SHIFT_JIS, c)),
        "gb18030" => each(text, |c| look_up(GB18030, c)),
        "us-ascii" => each(text, |_| None),
        _ => each(text, |c| u8::try_from(u32::from(c)).ok().map(u16::from)),
    }
}

/// Whether nothing of `text` is lost in `charset`.
pub(super) fn can_encode(text: &str, charset: &str) -> bool {
    let marks = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'?').count();
    charset == "utf-8" || marks(&encode(text, charset)) == marks(text.as_bytes())
}

fn each(text: &str, other: impl Fn(char) -> Option<u16>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match other(c) {
            _ if c.is_ascii() => out.push(c as u8),
            Some(code) if code > 0xff => out.extend_from_slice(&code.to_be_bytes()),
            Some(code) => out.push(code.to_be_bytes()[1]),
            None => out.push(b'?'),
        }
    }
    out
}

fn latin9(c: char) -> Option<u8> {
    match c {
        '€' => Some(0xa4),
        'œ' => Some(0xbd),
        _ => u8::try_from(u32::from(c)).ok(),
    }
}

fn windows_1252(c: char) -> Option<u8> {
    match c {
        '€' => Some(0x80),
        '…' => Some(0x85),
        '’' => Some(0x92),
        '“' => Some(0x93),
        '”' => Some(0x94),
        '–' => Some(0x96),
        'œ' => Some(0x9c),
        _ => u8::try_from(u32::from(c)).ok().filter(|byte| *byte >= 0xa0),
    }
}

fn koi8_r(c: char) -> Option<u8> {
    match c {
        'Ё' => Some(0xb3),
        'ё' => Some(0xa3),
        _ => KOI8_R.get(usize::try_from(u32::from(c).checked_sub(0x410)?).ok()?).copied(),
    }
}

fn look_up(table: &[(char, u16)], c: char) -> Option<u16> {
    table.binary_search_by_key(&c, |(own, _)| *own).ok().and_then(|at| table.get(at)).map(|e| e.1)
}

/// Koi8-R of А to я, in the order of Unicode (RFC 1489).
const KOI8_R: [u8; 64] = [
    0xe1, 0xe2, 0xf7, 0xe7, 0xe4, 0xe5, 0xf6, 0xfa, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef, 0xf0,
    0xf2, 0xf3, 0xf4, 0xf5, 0xe6, 0xe8, 0xe3, 0xfe, 0xfb, 0xfd, 0xff, 0xf9, 0xf8, 0xfc, 0xe0, 0xf1,
    0xc1, 0xc2, 0xd7, 0xc7, 0xc4, 0xc5, 0xd6, 0xda, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0,
    0xd2, 0xd3, 0xd4, 0xd5, 0xc6, 0xc8, 0xc3, 0xde, 0xdb, 0xdd, 0xdf, 0xd9, 0xd8, 0xdc, 0xc0, 0xd1,
];

/// Shift JIS of the characters that [`super::words`] uses, in the order of Unicode.
const SHIFT_JIS: &[(char, u16)] = &[
    ('、', 0x8141),
    ('。', 0x8142),
    ('い', 0x82a2),
    ('お', 0x82a8),
    ('く', 0x82ad),
    ('ご', 0x82b2),
    ('し', 0x82b5),
    ('す', 0x82b7),
    ('せ', 0x82b9),
    ('た', 0x82bd),
    ('っ', 0x82c1),
    ('て', 0x82c4),
    ('で', 0x82c5),
    ('ど', 0x82c7),
    ('な', 0x82c8),
    ('に', 0x82c9),
    ('の', 0x82cc),
    ('は', 0x82cd),
    ('ほ', 0x82d9),
    ('ま', 0x82dc),
    ('よ', 0x82e6),
    ('ら', 0x82e7),
    ('り', 0x82e8),
    ('ろ', 0x82eb),
    ('を', 0x82f0),
    ('サ', 0x8354),
    ('ト', 0x8367),
    ('ポ', 0x837c),
    ('メ', 0x8381),
    ('ル', 0x838b),
    ('ー', 0x815b),
    ('世', 0x90a2),
    ('之', 0x9456),
    ('予', 0x975c),
    ('事', 0x8e96),
    ('交', 0x8cf0),
    ('付', 0x9574),
    ('件', 0x8c8f),
    ('会', 0x89ef),
    ('但', 0x9241),
    ('位', 0x88ca),
    ('写', 0x8eca),
    ('到', 0x939e),
    ('前', 0x914f),
    ('各', 0x8a65),
    ('同', 0x93af),
    ('品', 0x9569),
    ('商', 0x8fa4),
    ('四', 0x8e6c),
    ('回', 0x89f1),
    ('在', 0x8ddd),
    ('坏', 0x9aad),
    ('天', 0x9356),
    ('好', 0x8d44),
    ('定', 0x92e8),
    ('已', 0x9bdf),
    ('提', 0x92f1),
    ('收', 0x9dbe),
    ('敬', 0x8c68),
    ('文', 0x95b6),
    ('料', 0x97bf),
    ('新', 0x9056),
    ('日', 0x93fa),
    ('明', 0x96be),
    ('星', 0x90af),
    ('昨', 0x8df0),
    ('是', 0x90a5),
    ('書', 0x8f91),
    ('有', 0x974c),
    ('期', 0x8afa),
    ('様', 0x976c),
    ('此', 0x8d9f),
    ('求', 0x8b81),
    ('注', 0x928d),
    ('物', 0x95a8),
    ('発', 0x94ad),
    ('的', 0x9349),
    ('皆', 0x8a46),
    ('知', 0x926d),
    ('確', 0x8a6d),
    ('礼', 0x97e7),
    ('票', 0x955b),
    ('箱', 0x94a0),
    ('致', 0x9276),
    ('話', 0x9862),
    ('認', 0x9446),
    ('請', 0x90bf),
    ('議', 0x8b63),
    ('資', 0x8e91),
    ('送', 0x9197),
    ('通', 0x92ca),
    ('道', 0x93b9),
    ('里', 0x97a2),
    ('附', 0x958d),
    ('願', 0x8ae8),
];

/// GB 18030 of the characters that [`super::words`] uses, in the order of Unicode.
const GB18030: &[(char, u16)] = &[
    ('、', 0xa1a2),
    ('。', 0xa1a3),
    ('い', 0xa4a4),
    ('お', 0xa4aa),
    ('く', 0xa4af),
    ('ご', 0xa4b4),
    ('し', 0xa4b7),
    ('す', 0xa4b9),
    ('せ', 0xa4bb),
    ('た', 0xa4bf),
    ('っ', 0xa4c3),
    ('て', 0xa4c6),
    ('で', 0xa4c7),
    ('ど', 0xa4c9),
    ('な', 0xa4ca),
    ('に', 0xa4cb),
    ('の', 0xa4ce),
    ('は', 0xa4cf),
    ('ほ', 0xa4db),
    ('ま', 0xa4de),
    ('よ', 0xa4e8),
    ('ら', 0xa4e9),
    ('り', 0xa4ea),
    ('ろ', 0xa4ed),
    ('を', 0xa4f2),
    ('サ', 0xa5b5),
    ('ト', 0xa5c8),
    ('ポ', 0xa5dd),
    ('メ', 0xa5e1),
    ('ル', 0xa5eb),
    ('ー', 0xa960),
    ('世', 0xcac0),
    ('两', 0xc1bd),
    ('之', 0xd6ae),
    ('予', 0xd3e8),
    ('事', 0xcac2),
    ('交', 0xbdbb),
    ('付', 0xb8b6),
    ('件', 0xbcfe),
    ('会', 0xbbe1),
    ('但', 0xb5ab),
    ('位', 0xcebb),
    ('写', 0xd0b4),
    ('到', 0xb5bd),
    ('前', 0xc7b0),
    ('单', 0xb5a5),
    ('发', 0xb7a2),
    ('各', 0xb8f7),
    ('同', 0xcdac),
    ('品', 0xc6b7),
    ('商', 0xc9cc),
    ('四', 0xcbc4),
    ('回', 0xbbd8),
    ('在', 0xd4da),
    ('坏', 0xbbb5),
    ('复', 0xb8b4),
    ('天', 0xccec),
    ('好', 0xbac3),
    ('定', 0xb6a8),
    ('已', 0xd2d1),
    ('您', 0xc4fa),
    ('损', 0xcbf0),
    ('提', 0xcce1),
    ('收', 0xcad5),
    ('敬', 0xbeb4),
    ('文', 0xcec4),
    ('料', 0xc1cf),
    ('新', 0xd0c2),
    ('日', 0xc8d5),
    ('明', 0xc3f7),
    ('星', 0xd0c7),
    ('昨', 0xd7f2),
    ('是', 0xcac7),
    ('書', 0x95f8),
    ('有', 0xd3d0),
    ('期', 0xc6da),
    ('様', 0x9894),
    ('此', 0xb4cb),
    ('求', 0xc7f3),
    ('注', 0xd7a2),
    ('物', 0xceef),
    ('电', 0xb5e7),
    ('発', 0xb06b),
    ('的', 0xb5c4),
    ('皆', 0xbdd4),
    ('知', 0xd6aa),
    ('确', 0xc8b7),
    ('確', 0xb45f),
    ('礼', 0xc0f1),
    ('票', 0xc6b1),
    ('箱', 0xcfe4),
    ('经', 0xbead),
    ('致', 0xd6c2),
    ('話', 0xd492),
    ('認', 0xd54a),
    ('請', 0xd588),
    ('議', 0xd768),
    ('订', 0xb6a9),
    ('认', 0xc8cf),
    ('议', 0xd2e9),
    ('话', 0xbbb0),
    ('请', 0xc7eb),
    ('谢', 0xd0bb),
    ('資', 0xd959),
    ('货', 0xbbf5),
    ('送', 0xcbcd),
    ('通', 0xcda8),
    ('道', 0xb5c0),
    ('里', 0xc0ef),
    ('问', 0xceca),
    ('附', 0xb8bd),
    ('願', 0xee8a),
    ('题', 0xcce2),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::words::LANGUAGES;

    #[test]
    fn every_language_can_be_said_in_its_character_sets() {
        for language in LANGUAGES {
            for charset in language.charsets {
                for text in language.sentences.iter().chain(language.subjects) {
                    assert!(can_encode(text, charset), "{text} in {charset}");
                }
            }
        }
    }

    #[test]
    fn encodes_as_the_standards_say() {
        assert_eq!(encode("Größe €", "iso-8859-15"), b"Gr\xf6\xdfe \xa4");
        assert_eq!(encode("€’", "windows-1252"), b"\x80\x92");
        assert_eq!(encode("Счёт", "koi8-r"), b"\xf3\xde\xa3\xd4");
        assert_eq!(encode("会議", "shift_jis"), b"\x89\xef\x8bc");
        assert_eq!(encode("会议", "gb18030"), b"\xbb\xe1\xd2\xe9");
    }
}
