//! What the gateways of the demo play, again and again: calls that are answered, busy, refused for
//! credit, for the limit, for the password and for the number, and one that is cut when its credit
//! ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::gateways::{Answer, Dialled, Gateway, Told};
use super::operator::Operator;
use super::screen::{Happening, Line};

/// Causes after Q.850, as gateways give them.
const NORMAL: u8 = 16;
const BUSY: u8 = 17;

/// What is topped up on the calling card: about seven seconds to Tunisia.
const TOP_UP: &str = "0.06";

/// The gateways, and where what happens is told.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Writes plain attributes.
    pub north: Arc<Gateway>,
    /// Writes as Cisco does.
    pub coast: Arc<Gateway>,
    /// Who tops up, and tells balances.
    pub operator: Operator,
    /// Where lines go; closed, the play is over.
    pub lines: mpsc::Sender<Line>,
    /// Tells the sessions of this run from those of earlier ones on the same database.
    pub run: u64,
}

/// A caller.
#[derive(Clone, Copy, Debug)]
struct Person {
    account: &'static str,
    password: &'static str,
    customer: &'static str,
    number: &'static str,
}

const ALICE: Person = Person { account: "alice", password: "secret1", customer: "acme", number: "493020001" };
const BOB: Person = Person { account: "bob", password: "secret2", customer: "acme", number: "493020002" };
const CAROL: Person = Person { account: "carol", password: "secret3", customer: "bistro", number: "494030003" };
const DORA: Person = Person { account: "dora", password: "secret4", customer: "card-4711", number: "12125550104" };
/// Knows who Alice is, but not her password.
const MALLORY: Person = Person { password: "guessed", ..ALICE };

/// How a call goes on once it is accepted.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// Answered, and over after so many seconds, or when the grant is over.
    Talk(u32),
    /// Never answered.
    Busy,
}

/// What came of a call. What was written to the screen, in short.
type Played = Result<(), Gone>;

/// Nobody reads any more: the demo is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gone;

/// Plays all scenes side by side until nobody reads the lines any more.
pub async fn play(stage: Stage) {
    let scenes = [
        tokio::spawn(forever(stage.clone(), 0, |stage, round| async move { talk(&stage, round).await })),
        tokio::spawn(forever(stage.clone(), 1, |stage, round| async move { busy(&stage, round).await })),
        tokio::spawn(forever(stage.clone(), 2, |stage, round| async move { limit(&stage, round).await })),
        tokio::spawn(forever(stage.clone(), 3, |stage, round| async move { prepaid(&stage, round).await })),
        tokio::spawn(forever(stage, 4, |stage, round| async move { strangers(&stage, round).await })),
    ];
    for scene in scenes {
        // A scene that fell over has said so on standard error; the others go on.
        let _ = scene.await;
    }
}

async fn forever<F, P>(stage: Stage, first_after_seconds: u64, mut scene: F)
where
    F: FnMut(Stage, u64) -> P,
    P: Future<Output = Played>,
{
    sleep(Duration::from_secs(first_after_seconds)).await;
    for round in 0.. {
        if scene(stage.clone(), round).await.is_err() {
            return;
        }
    }
}

/// Alice calls Berlin and London in turn.
async fn talk(stage: &Stage, round: u64) -> Played {
    let called = if round.is_multiple_of(2) { "4930100200" } else { "442071230" };
    let call = stage.dialled(ALICE, called, "talk", round);
    stage.call(&stage.north, ALICE, &call, Plan::Talk(6), Happening::Odd).await?;
    pause(3).await
}

/// Bob tries a line that is busy.
async fn busy(stage: &Stage, round: u64) -> Played {
    let call = stage.dialled(BOB, "4940765432", "busy", round);
    stage.call(&stage.north, BOB, &call, Plan::Busy, Happening::Odd).await?;
    pause(6).await
}

/// Carol may make one call at a time, and tries two.
async fn limit(stage: &Stage, round: u64) -> Played {
    let first = stage.dialled(CAROL, "33155501", "first", round);
    let second = stage.dialled(CAROL, "33155502", "second", round);
    let both = tokio::join!(stage.call(&stage.coast, CAROL, &first, Plan::Talk(5), Happening::Odd), async {
        sleep(Duration::from_secs(3)).await;
        stage.call(&stage.coast, CAROL, &second, Plan::Busy, Happening::TooMany).await
    });
    both.0.and(both.1)?;
    pause(4).await
}

/// Dora talks until her card is empty, is refused, and tops up.
async fn prepaid(stage: &Stage, round: u64) -> Played {
    let call = stage.dialled(DORA, "21671234567", "prepaid", round);
    stage.call(&stage.coast, DORA, &call, Plan::Talk(60), Happening::NoCredit).await?;
    sleep(Duration::from_secs(1)).await;
    let again = stage.dialled(DORA, "21671234567", "empty", round);
    stage.call(&stage.coast, DORA, &again, Plan::Busy, Happening::NoCredit).await?;
    sleep(Duration::from_secs(2)).await;
    let key = format!("demo-{}-{round}", stage.run);
    let (happening, text) = match stage.operator.top_up(DORA.customer, TOP_UP, &key).await {
        Ok(balance) => (Happening::Operator, format!("topped up with {TOP_UP}: balance {balance}")),
        Err(error) => (Happening::Odd, error),
    };
    stage.tell(happening, "", DORA.account, "", text).await?;
    pause(2).await
}

/// A wrong password, and a number that nobody may call.
async fn strangers(stage: &Stage, round: u64) -> Played {
    let guess = stage.dialled(MALLORY, "4930100200", "guess", round);
    stage.call(&stage.north, MALLORY, &guess, Plan::Busy, Happening::WrongPassword).await?;
    sleep(Duration::from_secs(4)).await;
    let premium = stage.dialled(BOB, "449012345", "premium", round);
    stage.call(&stage.north, BOB, &premium, Plan::Busy, Happening::Forbidden).await?;
    pause(7).await
}

async fn pause(seconds: u64) -> Played {
    sleep(Duration::from_secs(seconds)).await;
    Ok(())
}

impl Stage {
    fn dialled(&self, person: Person, called: &'static str, scene: &str, round: u64) -> Dialled {
        let scene_mark = scene.bytes().fold(0_u128, |mark, byte| (mark << 8) | u128::from(byte));
        Dialled {
            user: person.account,
            password: person.password,
            caller: person.number,
            called,
            session: format!("{scene}-{}-{round}", self.run),
            // The run, the scene and the round: another for each call of the demo.
            conf_id: (u128::from(self.run) << 80) ^ (scene_mark << 24) ^ u128::from(round),
        }
    }

    /// One call from its Access-Request to its end; `refusal` is what a refusal of it means.
    async fn call(&self, gateway: &Gateway, person: Person, call: &Dialled, plan: Plan, refusal: Happening) -> Played {
        let say = |happening, text| self.tell(happening, gateway.name, call.user, call.called, text);
        let (granted, class) = match gateway.authorize(call).await {
            Ok(Answer::Accepted { seconds, class }) => (seconds, class),
            Ok(Answer::Refused(message)) => return say(refusal, format!("refused: {message}")).await,
            Ok(Answer::Silence) => return say(Happening::Odd, "no answer to Access-Request".to_owned()).await,
            Err(error) => return say(Happening::Odd, format!("the gateway cannot send: {error}")).await,
        };
        let Some(granted) = granted else {
            return say(Happening::Odd, "accepted without Session-Timeout".to_owned()).await;
        };
        say(Happening::Accepted, format!("accepted, for {granted} s at most")).await?;
        sleep(Duration::from_secs(1)).await;
        let account = |told| gateway.account(call, told, class.as_deref());
        let (seconds, cause) = match plan {
            Plan::Busy => (0, BUSY),
            Plan::Talk(wanted) => {
                if !matches!(account(Told::Start).await, Ok(true)) {
                    return say(Happening::Odd, "no answer to Start".to_owned()).await;
                }
                say(Happening::Answered, "answered".to_owned()).await?;
                let seconds = wanted.min(granted);
                let half = seconds / 2;
                sleep(Duration::from_secs(u64::from(half))).await;
                // Whether this one is answered changes nothing: the next one tells more.
                let _ = account(Told::Interim(half)).await;
                sleep(Duration::from_secs(u64::from(seconds.saturating_sub(half)))).await;
                (seconds, NORMAL)
            }
        };
        if !matches!(account(Told::Stop(seconds, cause)).await, Ok(true)) {
            return say(Happening::Odd, "no answer to Stop".to_owned()).await;
        }
        let balance = self.operator.balance(person.customer).await.unwrap_or_else(|error| error);
        match plan {
            Plan::Busy => {
                say(Happening::Busy, format!("busy: nothing to pay, {} has {balance}", person.customer)).await
            }
            Plan::Talk(wanted) if wanted > granted => {
                let text = format!("cut after {seconds} s, its credit is over: {} has {balance}", person.customer);
                say(Happening::Cut, text).await
            }
            Plan::Talk(_) => {
                say(Happening::Ended, format!("ended after {seconds} s: {} has {balance}", person.customer)).await
            }
        }
    }

    async fn tell(
        &self,
        happening: Happening,
        gateway: &'static str,
        account: &'static str,
        called: &'static str,
        text: String,
    ) -> Played {
        self.lines.send(Line { happening, gateway, account, called, text }).await.map_err(|_| Gone)
    }
}
