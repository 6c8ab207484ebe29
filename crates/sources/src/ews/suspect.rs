//! Items that the server answered for, but did not hand out: asked for again, rebuilt, refused.

use record::{Fetched, SourceError};

use super::{
    failure::{Subject, Verdict},
    mailbox::{EwsMailbox, Question},
    reply,
    request::Target,
    stream::Bodies,
};
use crate::run::{Doubt, ItemVerdict, Run, Suspect, outcome_of};

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
        let all_is_well = run.has_email();
        match (suspect.doubt, run.entries.get(index)) {
            (Doubt::None, Some(entry)) => {
                let rebuilt = self.rebuild(run.folder, entry, &suspect, &mut run.limits).await?;
                return Ok(rebuilt.unwrap_or_else(|| suspect.refused()));
            }
            (Doubt::Server | Doubt::Right, _) if !all_is_well => self.probe().await?,
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
