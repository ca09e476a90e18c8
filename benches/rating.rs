//! Rating: a look-up in a table of 200,000 prefixes, a price, and its inverse.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence::domain::money::{Money, RatePerMinute};
use ringfence::domain::rating::PriceRule;
use ringfence::domain::tariff::{Rate, RateTable};
use ringfence::domain::time::Timestamp;

const PREFIXES: u64 = 200_000;

fn table() -> RateTable {
    let rule = |n: u64| {
        let nanos = i64::try_from(10_000_000 + n).expect("below 2^63");
        PriceRule::new(RatePerMinute::from_nanos(nanos).expect("a small rate"), Money::ZERO, 60, 6, 0)
    };
    let rates = (0..PREFIXES).map(|n| Rate {
        prefix: (100_000 + n * 7).to_string().into(),
        destination: "somewhere".into(),
        price: rule(n),
        forbidden: false,
        effective_from: None,
        effective_until: None,
    });
    RateTable::new(rates.collect())
}

fn rating(criterion: &mut Criterion) {
    let table = table();
    let now = Timestamp::from_seconds(1_800_000_000);
    let numbers: Vec<String> = (0..1_000u64).map(|n| format!("{}55512", 100_000 + n * 1_393)).collect();
    criterion.bench_function("longest prefix of 200,000, 1,000 numbers", |bencher| {
        bencher.iter(|| numbers.iter().filter_map(|number| table.rate_for(black_box(number), now)).count());
    });
    let rule = PriceRule::new("0.0123".parse().expect("a rate"), "0.01".parse().expect("an amount"), 30, 6, 0);
    criterion.bench_function("price of seconds", |bencher| bencher.iter(|| rule.price_rounded_up(black_box(137))));
    let credit: Money = "9.40".parse().expect("an amount");
    criterion.bench_function("seconds of money", |bencher| bencher.iter(|| rule.affordable_seconds(black_box(credit))));
}

criterion_group!(benches, rating);
criterion_main!(benches);
