//! Times as people and programs write them into tables.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Which of two numbers is the day where the year comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

const CLOCKS: [&str; 4] = ["%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p"];

/// A time. Without a zone it is UTC, without a clock the day's first moment.
pub(super) fn time(text: &str, order: Option<Order>) -> Result<DateTime<Utc>, &'static str> {
    const UNKNOWN: &str = "this is no date; expected such as 2026-01-31T09:30:00Z, 2026-01-31 09:30 \
                           or 31/01/2026 with `date_order`";
    let text = text.trim();
    for read in [DateTime::parse_from_rfc3339, DateTime::parse_from_rfc2822] {
        if let Ok(time) = read(text) {
            return Ok(time.to_utc());
        }
    }
    for pattern in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(time) = DateTime::parse_from_str(text, pattern) {
            return Ok(time.to_utc());
        }
    }
    let end = text.find([' ', 'T']).unwrap_or(text.len());
    let (day, clock) = text.split_at_checked(end).ok_or(UNKNOWN)?;
    let clock = clock.trim_start_matches(['T', ' ']);
    let at = match clock {
        "" => Some(NaiveTime::MIN),
        clock => CLOCKS.iter().find_map(|own| NaiveTime::parse_from_str(clock, own).ok()),
    };
    let at = at.ok_or(UNKNOWN)?;
    let plain = day.replace(['/', '.'], "-");
    if let Ok(day) = NaiveDate::parse_from_str(&plain, "%Y-%m-%d")
        && plain.find('-') == Some(4)
    {
        return Ok(NaiveDateTime::new(day, at).and_utc());
    }
    let numbers: Option<Vec<u32>> = plain.split('-').map(|part| part.parse().ok()).collect();
    let Some([one, two, year]) = numbers.as_deref() else { return Err(UNKNOWN) };
    if *year < 1000 {
        return Err(UNKNOWN);
    }
    // A number above 12 is a day; dots are written where the day comes first.
    let order = match (one, two) {
        (13.., _) => Order::DayFirst,
        (_, 13..) => Order::MonthFirst,
        _ if day.contains('.') => order.unwrap_or(Order::DayFirst),
        _ => order.ok_or(
            "the day and the month could be taken for each other; name the `date_order`, `dmy` or \
             `mdy`",
        )?,
    };
    let (day, month) = if order == Order::DayFirst { (one, two) } else { (two, one) };
    let day = NaiveDate::from_ymd_opt((*year).cast_signed(), *month, *day).ok_or(UNKNOWN)?;
    Ok(NaiveDateTime::new(day, at).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them_and_never_guessed() {
        let shown = |text: &str, order| match time(text, order) {
            Ok(time) => time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            Err(why) => why.split(';').next().unwrap_or_default().to_owned(),
        };
        for (text, order, expected) in [
            ("2026-01-31T09:30:00+01:00", None, "2026-01-31T08:30:00Z"),
            ("Sat, 31 Jan 2026 09:30:00 +0000", None, "2026-01-31T09:30:00Z"),
            (" 2026-01-31 09:30 ", None, "2026-01-31T09:30:00Z"),
            ("2026-01-31 09:30:05.25", None, "2026-01-31T09:30:05.250Z"),
            ("2026-01-31 09:30+0100", None, "2026-01-31T08:30:00Z"),
            ("2026/01/31", None, "2026-01-31T00:00:00Z"),
            ("31/01/2026 9:30 PM", None, "2026-01-31T21:30:00Z"),
            ("1/31/2026", None, "2026-01-31T00:00:00Z"),
            ("02.03.2026", None, "2026-03-02T00:00:00Z"),
            ("02/03/2026", Some(Order::DayFirst), "2026-03-02T00:00:00Z"),
            ("02/03/2026", Some(Order::MonthFirst), "2026-02-03T00:00:00Z"),
            ("02/03/2026", None, "the day and the month could be taken for each other"),
            ("31/02/2026", None, "this is no date"),
            ("02/03/26", Some(Order::DayFirst), "this is no date"),
            ("", None, "this is no date"),
            ("\u{e9}\u{e9}", None, "this is no date"),
            ("2026-01-31 25:00", None, "this is no date"),
        ] {
            assert_eq!(shown(text, order), expected, "{text}");
        }
    }
}
