-- What settling must leave as it was. Variable of psql: `accounts`. Prints money made or lost, issues whose units are not
-- what was issued, positions and balances that the journal does not explain, trades that are settled, settlements.
set work_mem = '512MB';
create temporary table explained as
  select issue_id, account_id, sum(units)::bigint units, sum(money)::bigint money
  from (
    select issue_id, buyer account_id, qty units, -amount money from journal
    union all
    select issue_id, seller, -qty, amount from journal where seller is not null
  ) moved
  group by 1, 2;
select
  (select sum(balance) - 1000000000::bigint * :accounts from cash),
  (select count(*) from (select from position group by issue_id having sum(qty) <> 100000::bigint * :accounts) off)
    + 100 - (select count(distinct issue_id) from position),
  (select count(*) from explained full join position using (issue_id, account_id)
    where coalesce(units, 0) <> coalesce(qty, 0)),
  (select count(*) from (select account_id, sum(money) + 1000000000 sum from explained group by 1) paid
    full join cash using (account_id) where sum is distinct from balance),
  (select count(*) from trade where status = 1),
  (select count(*) from journal where kind = 1);
