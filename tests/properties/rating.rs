//! Seconds and money: the price never falls, what is affordable is its exact inverse, and neither
//! depends on how it is reckoned.

use proptest::prelude::*;
use ringfence::domain::money::{Money, RatePerMinute};
use ringfence::domain::rating::{PriceRule, Pricing};

prop_compose! {
    /// Any rule: small numbers often, because borders are there.
    fn rule()(
        nanos in prop_oneof![Just(0), 1..1_000i64, 0..=RatePerMinute::MAX.nanos()],
        fee in prop_oneof![Just(0), 0..1_000i64, 0..1_000_000_000_000i64],
        first in prop_oneof![0..90u32, any::<u32>()],
        next in prop_oneof![0..90u32, any::<u32>()],
        grace in prop_oneof![Just(0), 0..90u32, any::<u32>()],
    ) -> PriceRule {
        let rate = RatePerMinute::from_nanos(nanos).expect("within its range");
        PriceRule::new(rate, Money::from_micros(fee), first, next, grace)
    }
}

fn money() -> impl Strategy<Value = Money> {
    prop_oneof![0..1_000i64, 0..100_000_000i64, 0..=i64::MAX / 4].prop_map(Money::from_micros)
}

fn seconds() -> impl Strategy<Value = u64> {
    prop_oneof![0..200u64, 0..100_000u64, 0..u64::from(u32::MAX) * 2]
}

fn next_of(seconds: u64) -> u64 {
    seconds.saturating_add(1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_affordable_is_the_exact_inverse_of_the_price(rule in rule(), money in money()) {
        match rule.affordable_seconds(money) {
            Some(0) => prop_assert!(rule.price_rounded_up(u64::from(rule.grace()) + 1) > money),
            Some(seconds) => {
                prop_assert!(seconds > u64::from(rule.grace()));
                prop_assert!(rule.price_rounded_up(seconds) <= money);
                prop_assert!(money < rule.price_rounded_up(next_of(seconds)));
            }
            None => prop_assert!(rule.price_rounded_up(u64::MAX) <= money),
        }
    }

    #[test]
    fn the_dearer_of_two_rules_has_an_exact_inverse_too(rule in rule(), told in rule(), money in money()) {
        let pricing = Pricing { rule, told: Some(told) };
        match pricing.affordable_seconds(money) {
            Some(0) => prop_assert!(pricing.least_price() > money),
            Some(seconds) => {
                prop_assert!(pricing.price(seconds) <= money);
                prop_assert!(money < pricing.price(next_of(seconds)));
            }
            None => prop_assert!(pricing.price(u64::MAX) <= money),
        }
    }

    #[test]
    fn the_price_never_falls_as_seconds_grow(rule in rule(), seconds in seconds(), more in seconds()) {
        prop_assert!(rule.price_rounded_up(seconds) <= rule.price_rounded_up(seconds + more));
    }

    #[test]
    fn the_price_is_what_a_tally_gives(
        nanos in 0..1_000_000_000i64, fee in 0..1_000_000i64,
        first in 1..120u32, next in 1..120u32, grace in 0..30u32, seconds in 0..20_000u64,
    ) {
        let rate = RatePerMinute::from_nanos(nanos).expect("within its range");
        let rule = PriceRule::new(rate, Money::from_micros(fee), first, next, grace);
        let mut billed = 0;
        if seconds > u64::from(grace) {
            billed = u64::from(first);
            while billed < seconds {
                billed += u64::from(next);
            }
        }
        let exact = i128::from(nanos) * i128::from(billed);
        let talk = exact / 60_000 + i128::from(exact % 60_000 > 0);
        let price = if billed == 0 { 0 } else { i128::from(fee) + talk };
        prop_assert_eq!(i128::from(rule.price_rounded_up(seconds).micros()), price);
        prop_assert_eq!(rule.billed_seconds(seconds), billed);
    }

    #[test]
    fn chunks_never_change_the_price(rule in rule(), chunks in prop::collection::vec(1..4_000u64, 1..20)) {
        let mut held = Money::ZERO;
        let mut seconds = 0;
        for chunk in &chunks {
            seconds += chunk;
            held = held.plus(rule.price_rounded_up(seconds).minus(held));
        }
        prop_assert_eq!(held, rule.price_rounded_up(seconds));
    }
}
