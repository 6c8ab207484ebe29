//! What a mark that is found says about who else writes the state of a mailbox.

use super::document::Mark;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    /// Ours was overwritten by somebody who did not know it.
    Undone,
    /// Somebody else has gone on from it.
    Lost,
}

pub(super) fn compare(ours: &Mark, stored: &Mark, writer: &str) -> Compared {
    let age = |mark: &Mark| (mark.generation, mark.revision);
    if stored == ours || stored.writer == writer && age(stored) >= age(ours) {
        // Also a write of ours whose answer was lost.
        Compared::Same
    } else if stored.generation > ours.generation
        || stored.generation == ours.generation
            && !stored.writer.is_empty()
            && (stored.writer != ours.writer || ours.writer != writer)
    {
        Compared::Lost
    } else {
        Compared::Undone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_gone_on_is_told_from_who_knew_nothing() {
        let mark = |generation, revision, writer: &str| Mark {
            generation,
            revision,
            writer: writer.into(),
        };
        let check = |ours: Mark, stored: Mark, expected: Compared| {
            assert_eq!(compare(&ours, &stored, "us"), expected, "{ours:?} {stored:?}");
        };
        check(mark(5, 0, "us"), mark(5, 0, "us"), Compared::Same);
        check(mark(5, 0, "them"), mark(5, 0, "them"), Compared::Same);
        check(Mark::default(), Mark::default(), Compared::Same);
        // The answer to our own write was lost.
        check(mark(5, 0, "them"), mark(6, 0, "us"), Compared::Same);
        check(mark(5, 0, "us"), mark(5, 1, "us"), Compared::Same);
        check(mark(5, 0, "us"), mark(6, 0, "them"), Compared::Lost);
        check(mark(5, 0, "us"), mark(5, 0, "them"), Compared::Lost);
        check(mark(5, 0, "them"), mark(5, 1, "them"), Compared::Lost);
        check(Mark::default(), mark(1, 0, "them"), Compared::Lost);
        check(mark(5, 0, "us"), Mark::default(), Compared::Undone);
        check(mark(5, 0, "us"), mark(4, 0, "them"), Compared::Undone);
        check(mark(5, 0, "us"), mark(4, 0, "us"), Compared::Undone);
        check(mark(5, 2, "us"), mark(5, 1, "us"), Compared::Undone);
    }
}
