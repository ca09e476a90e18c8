//! Seconds to money and money to seconds, each the exact inverse of the other.

use serde::{Deserialize, Serialize};

use super::money::{Money, RatePerMinute};

/// Nano-units a minute times seconds, to micro-units: 60 seconds times 1,000 nanos a micro.
const NANO_SECONDS_A_MICRO: u128 = 60_000;

/// What seconds cost: fee, rate, increments and grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PriceRule {
    rate: RatePerMinute,
    connect_fee: Money,
    first: u32,
    next: u32,
    grace: u32,
}

impl PriceRule {
    /// Nothing, for any time.
    pub const FREE: PriceRule = PriceRule {
        rate: match RatePerMinute::from_nanos(0) {
            Some(rate) => rate,
            None => panic!("zero is a rate"),
        },
        connect_fee: Money::ZERO,
        first: 1,
        next: 1,
        grace: 0,
    };

    /// A rule. Increments of 0 count as 1 and a fee below zero as none: neither has a meaning, and
    /// both would break the inverse.
    pub fn new(rate: RatePerMinute, connect_fee: Money, first: u32, next: u32, grace: u32) -> PriceRule {
        PriceRule { rate, connect_fee: connect_fee.or_zero(), first: first.max(1), next: next.max(1), grace }
    }

    /// Price per minute.
    pub fn rate(&self) -> RatePerMinute {
        self.rate
    }

    /// Paid once, when the call is longer than the grace.
    pub fn connect_fee(&self) -> Money {
        self.connect_fee
    }

    /// The first increment, seconds: the least that is charged.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// Every further increment, seconds.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// A call of at most so many seconds costs nothing.
    pub fn grace(&self) -> u32 {
        self.grace
    }

    /// The seconds that are charged for so many answered ones: whole increments.
    pub fn billed_seconds(&self, seconds: u64) -> u64 {
        if seconds <= u64::from(self.grace) {
            return 0;
        }
        let first = u64::from(self.first);
        let next = u64::from(self.next);
        let steps = seconds.saturating_sub(first).div_ceil(next);
        first.saturating_add(steps.saturating_mul(next))
    }

    /// What so many answered seconds cost, rounded up to a micro-unit.
    pub fn price_rounded_up(&self, seconds: u64) -> Money {
        let billed = u128::from(self.billed_seconds(seconds));
        if billed == 0 {
            return Money::ZERO;
        }
        let talk = self.rate_nanos().saturating_mul(billed).div_ceil(NANO_SECONDS_A_MICRO);
        let talk = i64::try_from(talk).unwrap_or(i64::MAX);
        self.connect_fee.plus(Money::from_micros(talk))
    }

    /// The least that is ever charged: what the first second after the grace costs.
    pub fn least_price(&self) -> Money {
        self.price_rounded_up(u64::from(self.grace).saturating_add(1))
    }

    /// The longest call, in seconds beyond the grace, that costs no more than this; 0 where not
    /// even the shortest that costs anything can be paid; `None`: no call ever costs more.
    pub fn affordable_seconds(&self, money: Money) -> Option<u64> {
        if self.least_price() > money {
            return Some(0);
        }
        let rate = self.rate_nanos();
        if rate == 0 {
            return None;
        }
        // price(t) <= money  <=>  rate * billed(t) <= (money - fee) * 60,000
        let for_talk = u128::try_from(money.minus(self.connect_fee).micros()).unwrap_or(0);
        let billed_max = for_talk.saturating_mul(NANO_SECONDS_A_MICRO).checked_div(rate)?;
        let first = u128::from(self.first);
        let next = u128::from(self.next);
        let steps = billed_max.saturating_sub(first).checked_div(next)?;
        u64::try_from(first.saturating_add(steps.saturating_mul(next))).ok()
    }

    fn rate_nanos(&self) -> u128 {
        u128::try_from(self.rate.nanos()).unwrap_or(0)
    }
}

/// What a payer pays for a call: by the rule of what was authorized, or the dearer of that and what
/// accounting told, where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pricing {
    /// By what was authorized.
    pub rule: PriceRule,
    /// By what accounting told, where that was something else.
    pub told: Option<PriceRule>,
}

impl Pricing {
    /// By one rule.
    pub const fn by(rule: PriceRule) -> Pricing {
        Pricing { rule, told: None }
    }

    /// What so many answered seconds cost.
    pub fn price(&self, seconds: u64) -> Money {
        let price = self.rule.price_rounded_up(seconds);
        self.told.map_or(price, |told| price.max(told.price_rounded_up(seconds)))
    }

    /// The seconds that are charged for so many answered ones, by the dearer rule.
    pub fn billed_seconds(&self, seconds: u64) -> u64 {
        self.dearer(seconds).billed_seconds(seconds)
    }

    /// The least that is ever charged.
    pub fn least_price(&self) -> Money {
        self.told.map_or(self.rule.least_price(), |told| self.rule.least_price().max(told.least_price()))
    }

    /// The longest call that costs no more than this; see [`PriceRule::affordable_seconds`].
    pub fn affordable_seconds(&self, money: Money) -> Option<u64> {
        let by_rule = self.rule.affordable_seconds(money);
        match self.told {
            None => by_rule,
            Some(told) => shorter(by_rule, told.affordable_seconds(money)),
        }
    }

    /// The rule that charges more for so many seconds.
    pub fn dearer(&self, seconds: u64) -> PriceRule {
        match self.told {
            Some(told) if told.price_rounded_up(seconds) > self.rule.price_rounded_up(seconds) => told,
            _ => self.rule,
        }
    }
}

/// The shorter of two times, where `None` is without limit.
pub fn shorter(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(rate: &str, fee: &str, first: u32, next: u32, grace: u32) -> PriceRule {
        PriceRule::new(rate.parse().unwrap(), fee.parse().unwrap(), first, next, grace)
    }

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn increments_are_charged_whole() {
        let rule = rule("0.60", "0.10", 30, 6, 0);
        for (seconds, billed, price) in
            [(0, 0, "0"), (1, 30, "0.40"), (30, 30, "0.40"), (31, 36, "0.46"), (36, 36, "0.46"), (37, 42, "0.52")]
        {
            assert_eq!(rule.billed_seconds(seconds), billed, "{seconds} s");
            assert_eq!(rule.price_rounded_up(seconds), money(price), "{seconds} s");
        }
    }

    #[test]
    fn a_fraction_of_a_micro_unit_is_charged_as_a_whole_one() {
        let rule = rule("0.000000001", "0", 1, 1, 0);
        assert_eq!(rule.price_rounded_up(1), Money::from_micros(1));
        assert_eq!(rule.price_rounded_up(60_000), Money::from_micros(1));
        assert_eq!(rule.price_rounded_up(60_001), Money::from_micros(2));
        assert_eq!(rule.affordable_seconds(Money::from_micros(1)), Some(60_000));
    }

    #[test]
    fn a_grace_costs_nothing_and_buys_nothing() {
        let rule = rule("0.60", "0", 1, 1, 5);
        assert_eq!(rule.price_rounded_up(5), Money::ZERO);
        assert_eq!(rule.price_rounded_up(6), money("0.06"));
        assert_eq!(rule.affordable_seconds(money("0.059999")), Some(0));
        assert_eq!(rule.affordable_seconds(money("0.06")), Some(6));
    }

    #[test]
    fn what_never_costs_more_is_without_limit() {
        assert_eq!(PriceRule::FREE.affordable_seconds(Money::ZERO), None);
        assert_eq!(PriceRule::FREE.affordable_seconds(money("-0.01")), Some(0));
        let fee_only = rule("0", "0.10", 60, 60, 0);
        assert_eq!(fee_only.affordable_seconds(money("0.10")), None);
        assert_eq!(fee_only.affordable_seconds(money("0.09")), Some(0));
    }

    #[test]
    fn of_two_rules_the_dearer_one_is_charged() {
        let cheap_then_dear = Pricing { rule: rule("0.60", "0", 1, 1, 0), told: Some(rule("0.06", "0.10", 1, 1, 0)) };
        assert_eq!(cheap_then_dear.price(1), money("0.101"));
        assert_eq!(cheap_then_dear.price(60), money("0.60"));
        assert_eq!(cheap_then_dear.affordable_seconds(money("0.101")), Some(1));
        assert_eq!(cheap_then_dear.affordable_seconds(money("0.60")), Some(60));
    }
}
