-- The rival's books, in the clear, and what they hold before anything is measured. Variables of psql: `accounts` (a
-- multiple of 50) and `history` (settlements of the past).
--
-- 100 issues; account a holds the ten issues a % 10 * 10 + 1 to + 10, so an issue has accounts / 10 holders, and there are
-- ten times as many positions as accounts. Account a is a client of broker a % 50 + 1.

create table broker (id int primary key, name text not null);
create table account (
  id int primary key,
  broker_id int not null references broker,
  owner text not null,
  unique (id, broker_id)
);
insert into broker select b, 'broker ' || b from generate_series(1, 50) b;
insert into account select a, a % 50 + 1, 'client ' || a from generate_series(1, :accounts) a;
create index on account (broker_id);

-- What happened, in order: kind 0 is an issuance (no seller), kind 1 a settlement.
create table journal (
  seq bigserial,
  ts timestamptz not null default clock_timestamp(),
  kind smallint not null,
  issue_id int not null,
  seller int,
  buyer int not null,
  qty bigint not null,
  amount bigint not null
);
insert into journal (ts, kind, issue_id, buyer, qty, amount)
  select '2026-01-01', 0, a % 10 * 10 + k, a, 1000000, 0
  from generate_series(1, :accounts) a, generate_series(1, 10) k
  order by 3, 4;
insert into journal (ts, kind, issue_id, seller, buyer, qty, amount)
  select timestamptz '2026-01-02' + n * interval '25 seconds', 1, g * 10 + k, s * 10 + g, b * 10 + g,
    1 + (r * 100)::bigint, 100 + (r * 10000)::bigint
  from (
    select n, floor(random() * 10)::int g, 1 + floor(random() * 10)::int k, random() r,
      1 + floor(random() * (:accounts / 10 - 1))::int s, 1 + floor(random() * (:accounts / 10 - 1))::int b
    from generate_series(1, :history) n
  ) made;
alter table journal add primary key (seq);
-- Holds all that a look into the past needs: that takes half the time of looking the rows up, and costs writers nothing
-- that could be measured.
create index journal_issue on journal (issue_id, seq) include (seller, buyer, qty);

-- Positions and money follow from the journal. Pages are filled to four fifths, which leaves room for new versions of
-- their rows; then the reserve is given free. While it stands, nearly every update tidies its page first, which took a
-- quarter more CPU.
create table position (
  issue_id int not null,
  account_id int not null,
  qty bigint not null check (qty >= 0),
  broker_id int not null
) with (fillfactor = 80);
insert into position
  select issue_id, account_id, units, broker_id
  from (
    select issue_id, account_id, sum(change) units
    from (
      select issue_id, buyer account_id, qty change from journal
      union all
      select issue_id, seller, -qty from journal where seller is not null
    ) moved
    group by 1, 2
  ) held
  join account on id = account_id
  order by 1, 2;
alter table position add primary key (issue_id, account_id);
create index on position (account_id);
create index on position (broker_id, issue_id);
-- The broker stands in each position too, for the policy that reads it there; it follows the account.
alter table position add foreign key (account_id, broker_id) references account (id, broker_id) on update cascade;

create table cash (
  account_id int not null,
  balance bigint not null check (balance >= 0)
) with (fillfactor = 80);
insert into cash
  select id, 1000000000 + coalesce(sum(change), 0)
  from account
  left join (
    select buyer account_id, -amount change from journal where kind = 1
    union all
    select seller, amount from journal where kind = 1
  ) paid on account_id = id
  group by id order by id;
alter table cash add primary key (account_id);

alter table position set (fillfactor = 100);
alter table cash set (fillfactor = 100);

-- Trades that one side has recorded: status 0 is open, 1 settled.
create table trade (
  id bigserial primary key,
  recorded timestamptz not null default clock_timestamp(),
  issue_id int not null,
  seller int not null,
  buyer int not null,
  qty bigint not null check (qty > 0),
  amount bigint not null check (amount >= 0),
  status smallint not null default 0
);
