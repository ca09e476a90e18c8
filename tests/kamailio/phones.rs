//! What phones do, as scenarios of sipp put together from messages.

use std::fmt::Write as _;

/// What a caller does once it has called.
#[derive(Clone, Copy, Debug)]
pub enum Caller {
    /// Is answered, talks for so many milliseconds, and hangs up.
    HangsUp(u32),
    /// Is answered, and talks until it is hung up.
    IsHungUp,
    /// Is answered, talks for so many milliseconds, changes the session, and hangs up as long after.
    ChangesTheSession(u32),
    /// Hears it ring, and gives up.
    Cancels,
    /// Gets this answer, and no call.
    Gets(u16),
}

/// What is done at the other end.
#[derive(Clone, Copy, Debug)]
pub enum Callee {
    /// Answers, and talks until it is hung up.
    Answers,
    /// Answers, and answers to a change of the session.
    AnswersTwice,
    /// Answers, talks for so many milliseconds, and hangs up.
    HangsUp(u32),
    /// Is in another call.
    IsBusy,
    /// Rings until the caller gives up.
    Rings,
}

/// A scenario in the making. sipp counts its messages, and makes branches of these numbers.
struct Script {
    text: String,
    messages: usize,
    /// The message that was the last INVITE.
    invite: usize,
}

impl Script {
    fn new() -> Script {
        Script { text: "<?xml version=\"1.0\"?>\n<scenario name=\"phone\">\n".into(), messages: 0, invite: 0 }
    }

    fn finished(mut self) -> String {
        self.text.push_str("</scenario>\n");
        self.text
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").expect("memory");
        self.messages += 1;
    }

    fn sends(&mut self, again: bool, head: &str, headers: &str) {
        let again = if again { " retrans=\"500\"" } else { "" };
        self.line(&format!("<send{again}><![CDATA[\n{head}\n{headers}Content-Length: 0\n\n]]></send>"));
    }

    fn hears(&mut self, what: &str) {
        self.line(&format!("<recv {what}/>"));
    }

    fn waits(&mut self, milliseconds: u32) {
        self.line(&format!("<pause milliseconds=\"{milliseconds}\"/>"));
    }

    /// A request of the caller outside of a call, or within it.
    fn calls(&mut self, method: &str, cseq: &str, user: &str, within: bool, more: &str) {
        let branch = match method {
            // Those that go with an INVITE have its branch (RFC 3261, 9.1 and 17.1.1.3).
            "CANCEL" | "ACK" if !within => format!("[branch-{}]", self.messages - self.invite),
            _ => "[branch]".to_owned(),
        };
        let (target, to, routes) = if within {
            ("[next_url]", "[last_To:]", "[routes]\n")
        } else {
            let first = matches!(method, "INVITE" | "CANCEL");
            let to = if first { "To: <sip:[service]@[remote_ip]:[remote_port]>" } else { "[last_To:]" };
            ("sip:[service]@[remote_ip]:[remote_port]", to, "")
        };
        if method == "INVITE" {
            self.invite = self.messages;
        }
        let headers = format!(
            "Via: SIP/2.0/UDP [local_ip]:[local_port];branch={branch}\n\
             From: <sip:{user}@[local_ip]:[local_port]>;tag=caller[pid]\n{to}\n{routes}Call-ID: [call_id]\n\
             CSeq: {cseq}\nContact: <sip:{user}@[local_ip]:[local_port]>\nMax-Forwards: 70\n{more}"
        );
        self.sends(!matches!(method, "ACK"), &format!("{method} {target} SIP/2.0"), &headers);
    }

    /// An answer to what was heard last.
    fn answers(&mut self, status: &str, tagged: bool, more: &str) {
        let tag = if tagged { ";tag=callee[call_number]" } else { "" };
        let headers = format!(
            "[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n[last_Record-Route:]\n{more}"
        );
        let again = !status.starts_with('1') && tagged;
        self.sends(again, &format!("SIP/2.0 {status}"), &headers);
    }

    /// The other side ends the call.
    fn is_hung_up(&mut self) {
        self.hears("request=\"BYE\"");
        // Kamailio loses its second BYE where the answer to the first comes before it is made
        // (kamailio#4268): never over a real network, often on one machine.
        self.waits(200);
        self.answers("200 OK", false, "");
    }
}

const CONTACT: &str = "Contact: <sip:callee@[local_ip]:[local_port]>\n";

impl Caller {
    /// The scenario of one whose From says `user`; with a password it answers to a challenge.
    pub fn scenario(self, user: &str, password: Option<&str>) -> String {
        let mut script = Script::new();
        let mut cseq = 1;
        script.calls("INVITE", "1 INVITE", user, false, "");
        if let Some(password) = password {
            script.hears("response=\"100\" optional=\"true\"");
            script.hears("response=\"407\" auth=\"true\"");
            script.calls("ACK", "1 ACK", user, false, "");
            cseq = 2;
            let answer = format!("[authentication username={user} password={password}]\n");
            script.calls("INVITE", "2 INVITE", user, false, &answer);
        }
        let ack = format!("{cseq} ACK");
        script.hears("response=\"100\" optional=\"true\"");
        match self {
            Caller::Gets(code) => {
                script.hears("response=\"180\" optional=\"true\"");
                script.hears(&format!("response=\"{code}\""));
                script.calls("ACK", &ack, user, false, "");
            }
            Caller::Cancels => {
                script.hears("response=\"180\"");
                script.calls("CANCEL", &format!("{cseq} CANCEL"), user, false, "");
                // In either order, for the same reason; the later one comes after the end.
                script.hears("response=\"200\" optional=\"true\"");
                script.hears("response=\"487\"");
                script.calls("ACK", &ack, user, false, "");
            }
            Caller::HangsUp(_) | Caller::IsHungUp | Caller::ChangesTheSession(_) => {
                script.hears("response=\"180\" optional=\"true\"");
                script.hears("response=\"200\" rrs=\"true\"");
                script.calls("ACK", &ack, user, true, "");
                self.talks(&mut script, user);
            }
        }
        script.finished()
    }

    fn talks(self, script: &mut Script, user: &str) {
        let hangs_up = |script: &mut Script, milliseconds| {
            script.waits(milliseconds);
            script.calls("BYE", "9 BYE", user, true, "");
            script.hears("response=\"200\"");
        };
        match self {
            Caller::HangsUp(milliseconds) => hangs_up(script, milliseconds),
            Caller::ChangesTheSession(milliseconds) => {
                script.waits(milliseconds);
                script.calls("INVITE", "5 INVITE", user, true, "");
                script.hears("response=\"100\" optional=\"true\"");
                script.hears("response=\"200\"");
                script.calls("ACK", "5 ACK", user, true, "");
                hangs_up(script, milliseconds);
            }
            _ => script.is_hung_up(),
        }
    }
}

impl Callee {
    pub fn scenario(self) -> String {
        let mut script = Script::new();
        // What it says of the INVITE later; sipp refuses what is kept and not used.
        let kept = match self {
            Callee::HangsUp(_) => Some("From:"),
            Callee::Rings => Some("CSeq:"),
            _ => None,
        };
        if let Some(header) = kept {
            script.line(&format!(
                "<recv request=\"INVITE\" rrs=\"true\"><action><ereg regexp=\".*\" search_in=\"hdr\" \
                 header=\"{header}\" assign_to=\"1\"/></action></recv>"
            ));
        } else {
            script.hears("request=\"INVITE\"");
        }
        if matches!(self, Callee::IsBusy) {
            script.answers("486 Busy Here", true, CONTACT);
            script.hears("request=\"ACK\"");
            return script.finished();
        }
        if matches!(self, Callee::Rings) {
            script.answers("180 Ringing", true, CONTACT);
            script.hears("request=\"CANCEL\"");
            script.answers("200 OK", false, "");
            let invite = "[last_Via:]\n[last_From:]\n[last_To:];tag=callee[call_number]\n[last_Call-ID:]\nCSeq:[$1]\n";
            script.sends(true, "SIP/2.0 487 Request Terminated", invite);
            script.hears("request=\"ACK\"");
            return script.finished();
        }
        // It does not ring first: the proxy relays replies outside of its lock, so that a 180 just before the 200 may come
        // behind it, where sipp gives a call up, and hangs up without a Route.
        script.answers("200 OK", true, CONTACT);
        if !matches!(self, Callee::AnswersTwice) {
            // The proxy's repetition of it, where this phone was slow.
            script.hears("request=\"INVITE\" optional=\"true\"");
        }
        if matches!(self, Callee::Answers) {
            // A BYE of the proxy's own may overtake it.
            script.hears("request=\"ACK\" optional=\"true\"");
        } else {
            script.hears("request=\"ACK\"");
        }
        match self {
            Callee::HangsUp(milliseconds) => {
                script.waits(milliseconds);
                let headers = "Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]\n[routes]\n\
                     From: <sip:[service]@[local_ip]:[local_port]>;tag=callee[call_number]\nTo:[$1]\n\
                     Call-ID: [call_id]\nCSeq: 1 BYE\nMax-Forwards: 70\n";
                script.sends(true, "BYE [next_url] SIP/2.0", headers);
                script.hears("response=\"200\"");
            }
            Callee::AnswersTwice => {
                script.hears("request=\"INVITE\"");
                script.answers("200 OK", false, CONTACT);
                script.hears("request=\"ACK\"");
                script.is_hung_up();
            }
            _ => script.is_hung_up(),
        }
        script.finished()
    }
}
