//! Items that the server answered for, but did not hand out: asked for again, rebuilt, refused.

use record::{Fetched, SourceError};

use super::{
    failure::{ItemVerdict, Subject, Verdict},
    fetch::{Outcome, Run},
    mailbox::{EwsMailbox, Question},
    reply,
    request::Target,
    stream::Bodies,
};

/// What is wrong with an item that the server answered for.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) doubt: Doubt,
}

/// What else than the item could be the reason. While there is a doubt, an email is not rebuilt:
/// a later attempt can bring the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    None,
    /// The bytes came damaged.
    Transport,
    /// The server may not be well.
    Server,
    /// The connection breaks, perhaps for every item.
    Connection,
}

impl Suspect {
    pub(super) fn new(code: &str, detail: &str, doubt: Doubt) -> Self {
        Self { code: code.to_owned(), detail: detail.to_owned(), doubt }
    }

    pub(super) fn refused(self) -> Fetched {
        Fetched::Refused { code: self.code, detail: self.detail }
    }
}

impl EwsMailbox {
    /// Asks for each suspect again, alone: once if the server says that it is broken, twice if
    /// there is a doubt. What then remains is rebuilt or refused.
    pub(super) async fn examine_suspects(&mut self, run: &mut Run<'_>) -> Result<(), SourceError> {
        for round in 0..2 {
            for (index, suspect) in std::mem::take(&mut run.suspects) {
                if round == 0 || suspect.doubt != Doubt::None {
                    self.ask_again(run, index).await?;
                } else {
                    run.suspects.push((index, suspect));
                }
            }
        }
        for (index, suspect) in std::mem::take(&mut run.suspects) {
            let fetched = self.conclude(run, index, suspect).await?;
            run.settle(index, fetched);
        }
        Ok(())
    }

    async fn ask_again(&mut self, run: &mut Run<'_>, index: usize) -> Result<(), SourceError> {
        match self.get_group(run, &[index]).await {
            Ok(answer) => self.sort(run, &[index], answer),
            Err(Verdict::Item { what: ItemVerdict::Cut, detail, .. }) => {
                self.cut(run, &[index], detail)
            }
            Err(Verdict::Item { what, code, detail }) => {
                run.take(index, outcome_of(what, code, detail));
                Ok(())
            }
            Err(verdict) => Err(self.error(verdict, "GetItem")),
        }
    }

    /// What becomes of a suspect after all attempts.
    async fn conclude(
        &mut self,
        run: &mut Run<'_>,
        index: usize,
        suspect: Suspect,
    ) -> Result<Fetched, SourceError> {
        let all_is_well = run.results.iter().flatten().any(is_email);
        match (suspect.doubt, run.entries.get(index)) {
            (Doubt::None, Some(entry)) => {
                let rebuilt = self.rebuild(run.folder, entry, &suspect, &mut run.limits).await?;
                return Ok(rebuilt.unwrap_or_else(|| suspect.refused()));
            }
            (Doubt::Server, _) if !all_is_well => self.probe().await?,
            (Doubt::Connection, _) if !all_is_well => {
                return Err(self.unreachable(suspect.detail));
            }
            _ => {}
        }
        Ok(suspect.refused())
    }

    /// Asks something that every mailbox can answer, to learn whether the server is well.
    async fn probe(&mut self) -> Result<(), SourceError> {
        let question = Question {
            operation: "GetFolder",
            subject: Subject::Mailbox,
            bodies: Bodies::Mime,
            limits: self.limits(),
            write: &|envelope| envelope.folder_marks([Target::Root]),
            read: reply::folder_marks,
        };
        match self.ask(question).await {
            Ok(answer) => match answer.value.into_iter().next() {
                Some(Err(fault)) => {
                    let verdict = self.judge(&fault, "GetFolder", Subject::Mailbox);
                    Err(self.error(verdict, "GetFolder"))
                }
                _ => Ok(()),
            },
            Err(verdict) => Err(self.error(verdict, "GetFolder")),
        }
    }
}

pub(super) fn too_large(limit: u64) -> Suspect {
    Suspect::new(
        "TooLarge",
        &format!("it is larger than {limit} bytes, the limit in the settings"),
        Doubt::None,
    )
}

pub(super) fn outcome_of(what: ItemVerdict, code: String, detail: String) -> Outcome {
    let suspect = |doubt| Suspect { code, detail, doubt };
    match what {
        ItemVerdict::Gone => Outcome::Done(Fetched::Gone),
        ItemVerdict::TooLarge => Outcome::Done(suspect(Doubt::None).refused()),
        ItemVerdict::Broken => Outcome::Suspect(suspect(Doubt::None)),
        ItemVerdict::Puzzling => Outcome::Suspect(suspect(Doubt::Server)),
        ItemVerdict::Cut => Outcome::Suspect(suspect(Doubt::Connection)),
    }
}

fn is_email(fetched: &Fetched) -> bool {
    matches!(fetched, Fetched::Email(_))
}
