//! The `Date` field (RFC 5322 §3.3), and what writers put there instead.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Reads a date. Weekday, comments, order of day and month name, seconds and zone may be missing
/// or wrong; a date without zone is UTC.
pub(crate) fn parse(value: &[u8]) -> Option<DateTime<Utc>> {
    const MAX: usize = 200;
    let text = String::from_utf8_lossy(value.get(..MAX).unwrap_or(value)).into_owned();
    let text = without_comments(text.trim());
    if let Ok(date) = DateTime::parse_from_rfc3339(text.trim()) {
        return plausible(date.to_utc());
    }
    let mut day = None;
    let mut month = None;
    let mut year = None;
    let mut time = None;
    let mut zone = None;
    let words = text.split(|it: char| it.is_whitespace() || it == ',').filter(|it| !it.is_empty());
    // `12-Mar-2004` is written in one.
    let words = words.flat_map(|word| {
        let dated = word.split('-').count() == 3;
        let pieces: Vec<&str> = if dated { word.split('-').collect() } else { vec![word] };
        pieces
    });
    for word in words {
        if word.contains(':') && time.is_none() {
            let (clock, offset) = split_offset(word);
            time = clock_of(clock);
            if !offset.is_empty() {
                zone = zone_of(offset);
            }
        } else if let Some(number) = month_of(word).filter(|_| month.is_none()) {
            month = Some(number);
        } else if let Ok(number) = word.parse::<u16>().map(i32::from)
            && !word.starts_with('+')
            && year.is_none()
        {
            if day.is_none() && word.len() <= 2 {
                day = u32::try_from(number).ok();
            } else {
                year = Some(full_year(number, word.len()));
            }
        } else if time.is_some() && zone.is_none() {
            zone = zone_of(word);
        }
    }
    let date = NaiveDate::from_ymd_opt(year?, month?, day?)?;
    let local = NaiveDateTime::new(date, time.unwrap_or_default());
    let offset = FixedOffset::east_opt(zone.unwrap_or(0))?;
    plausible(local.and_local_timezone(offset).single()?.to_utc())
}

/// Before 1970 nobody sent email; a year of five digits cannot be written in a comment.
fn plausible(date: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (1970..=9999).contains(&date.year()).then_some(date)
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|character| {
            match character {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

fn full_year(number: i32, digits: usize) -> i32 {
    match (digits, number) {
        (..=2, 0..=49) => 2000 + number,
        // RFC 5322 §4.3: also three digits count from 1900.
        (..=3, _) => 1900 + number,
        _ => number,
    }
}

fn month_of(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let start = word.get(..3)?.to_ascii_lowercase();
    let index = NAMES.iter().position(|name| *name == start)?;
    u32::try_from(index + 1).ok()
}

/// `10:00:00+0200` is time and zone in one.
fn split_offset(word: &str) -> (&str, &str) {
    match word.find(['+', '-']) {
        Some(at) => word.split_at(at),
        None => (word, ""),
    }
}

fn clock_of(word: &str) -> Option<NaiveTime> {
    let mut numbers = word.split([':', '.']).map(str::parse::<u32>);
    let hour = numbers.next()?.ok()?;
    let minute = numbers.next()?.ok()?;
    let second = numbers.next().and_then(Result::ok).unwrap_or(0);
    // 60 is a leap second.
    NaiveTime::from_hms_opt(hour, minute, second.min(59))
}

/// Seconds east of Greenwich.
fn zone_of(word: &str) -> Option<i32> {
    let word = word.strip_prefix("GMT").or_else(|| word.strip_prefix("UTC")).unwrap_or(word);
    let hours = match word.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        "CET" | "MEZ" | "BST" => 1,
        "CEST" | "MESZ" | "EET" => 2,
        "EEST" | "MSK" => 3,
        "IST" => return Some(5 * 3600 + 1800),
        "JST" | "KST" => 9,
        _ => {
            let (sign, digits) = match word.split_at_checked(1)? {
                ("+", digits) => (1, digits),
                ("-", digits) => (-1, digits),
                _ => return Some(0),
            };
            let digits: String = digits.chars().filter(char::is_ascii_digit).take(4).collect();
            let number: i32 = digits.parse().ok()?;
            let (hours, minutes) =
                if digits.len() <= 2 { (number, 0) } else { (number / 100, number % 100) };
            // An offset of more than a day is a typing error.
            let seconds = hours * 3600 + minutes * 60;
            return Some(if seconds < 86_400 { sign * seconds } else { 0 });
        }
    };
    Some(hours * 3600)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = parse(text.as_bytes()).map_or("none".to_owned(), |it| it.to_rfc3339());
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn reads_dates_as_they_are_written() {
        check("Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21T15:55:06+00:00");
        check("21 Nov 97 09:55 EST", "1997-11-21T14:55:00+00:00");
        check("Wed, 25 Oct 2023 17:03:22 +0000 (UTC)", "2023-10-25T17:03:22+00:00");
        check("Sat Mar  6 10:11:12 2004", "2004-03-06T10:11:12+00:00");
        check("Tue, 1 Jul 2003 10:52:37 GMT+02:00", "2003-07-01T08:52:37+00:00");
        check("12-Mar-2004 10:00:00+0100", "2004-03-12T09:00:00+00:00");
        check("2024-02-29T12:00:00Z", "2024-02-29T12:00:00+00:00");
        check("Mon, 30 Feb 2004 10:00:00 +0000", "none");
        check("Thu, 1 Jan 1601 00:00:00 +0000", "none");
        check("yesterday", "none");
    }
}
