//! Mail to one address through one server.
//!
//! Reading order: `content` (what is sent), `html` (how it looks), `trust`
//! (whom to believe under TLS), `dialogue` (how it is handed over).

mod content;
mod dialogue;
mod html;
mod trust;

use crate::Attempt;
use crate::answer::Setback;
use crate::hidden::Hidden;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dialogue::{Dialogue, Login};
use model::receiver::MailMeans;

pub(crate) use trust::Trust;

pub(crate) async fn deliver(
    trust: &Trust,
    means: &MailMeans,
    attempt: &Attempt<'_>,
    hidden: &mut Hidden,
) -> Result<String, Setback> {
    let mail = content::compose(means, attempt)?;
    let login = match &means.server.login {
        Some((user, password)) => {
            let login = Login { user: user.clone(), password: hidden.reveal(password).await? };
            // Servers repeat lines that they do not understand.
            hidden.add(&STANDARD.encode(&login.password));
            hidden.add(&login.plain());
            Some(login)
        }
        None => None,
    };
    let mut dialogue = Dialogue::open(&means.server, trust, attempt.deadline).await?;
    let outcome = dialogue.hand_over(&mail, login.as_ref()).await;
    dialogue.close().await;
    outcome
}
