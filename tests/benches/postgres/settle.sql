-- Delivery versus payment, in three forms. All lock money first, the lowest account before the others, and whoever changes
-- a position holds the lock on its account's money: no settlements wait for each other in a circle.

-- One settlement: all of it, or an error. Both balances change in one statement, and so do both positions; the index
-- hands out the two accounts in order.
create function settle(issue int, from_account int, to_account int, units bigint, price bigint)
returns void language plpgsql as $$
declare
  changed int;
begin
  update cash set balance = balance + case account_id when from_account then price else -price end
    where account_id in (from_account, to_account);
  get diagnostics changed = row_count;
  if changed <> 2 then
    raise exception 'there is no such account, or both are one';
  end if;
  update position set qty = qty + case account_id when to_account then units else -units end
    where issue_id = issue and account_id in (from_account, to_account);
  get diagnostics changed = row_count;
  if changed <> 2 then
    perform first_position(issue, from_account, to_account, units);
  end if;
  insert into journal (kind, issue_id, seller, buyer, qty, amount)
    values (1, issue, from_account, to_account, units, price);
end $$;

-- The buyer held none of the issue until now. Whoever sells what it does not hold gets an error.
create function first_position(issue int, from_account int, to_account int, units bigint)
returns void language plpgsql as $$
begin
  if not exists (select from position where issue_id = issue and account_id = from_account) then
    raise exception 'account % holds none of issue %', from_account, issue;
  end if;
  insert into position (issue_id, account_id, qty, broker_id)
    select issue, id, units, broker_id from account where id = to_account;
end $$;

-- Many settlements in one transaction, one after the other, each with an outcome of its own: what is not covered when
-- its turn comes is left out, and the others go on. The journal is written at the end, in one statement.
create function settle_batch(issues int[], sellers int[], buyers int[], quantities bigint[], amounts bigint[])
returns boolean[] language plpgsql as $$
declare
  outcomes boolean[];
  issue int; from_account int; to_account int; units bigint; price bigint; changed int;
begin
  perform from cash where account_id = any (sellers || buyers) order by account_id for update;
  for i in 1 .. array_length(issues, 1) loop
    issue := issues[i]; from_account := sellers[i]; to_account := buyers[i]; units := quantities[i]; price := amounts[i];
    outcomes[i] := from_account <> to_account
      and exists (select from cash where account_id = from_account)
      and exists (select from cash where account_id = to_account and balance >= price)
      and exists (select from position where issue_id = issue and account_id = from_account and qty >= units);
    continue when not outcomes[i];
    update cash set balance = balance + case account_id when from_account then price else -price end
      where account_id in (from_account, to_account);
    update position set qty = qty + case account_id when to_account then units else -units end
      where issue_id = issue and account_id in (from_account, to_account);
    get diagnostics changed = row_count;
    if changed <> 2 then
      perform first_position(issue, from_account, to_account, units);
    end if;
  end loop;
  insert into journal (kind, issue_id, seller, buyer, qty, amount)
    select 1, o.issue, o.seller, o.buyer, o.qty, o.amount
    from unnest(issues, sellers, buyers, quantities, amounts, outcomes) o (issue, seller, buyer, qty, amount, good)
    where good;
  return outcomes;
end $$;

-- What many settlements together change, account by account.
create function net_money(sellers int[], buyers int[], amounts bigint[])
returns table (account int, change bigint) language sql immutable as $$
  select one, sum(change)::bigint from (
    select one, price from unnest(sellers, amounts) s (one, price)
    union all
    select one, -price from unnest(buyers, amounts) b (one, price)
  ) moved (one, change) group by 1
$$;
create function net_units(issues int[], sellers int[], buyers int[], quantities bigint[])
returns table (issue int, account int, change bigint) language sql immutable as $$
  select what, one, sum(change)::bigint from (
    select what, one, -units from unnest(issues, sellers, quantities) s (what, one, units)
    union all
    select what, one, units from unnest(issues, buyers, quantities) b (what, one, units)
  ) moved (what, one, change) group by 1, 2
$$;

-- Many settlements in one transaction, netted: all of them, or an error when their sum is not covered (`settle_batch`
-- then says which). Money is locked by the update itself, in the order of accounts: the settings leave it only the plan
-- that looks them up one after the other. A version with `select ... for update` first, and positions of zero inserted
-- beforehand, took a third more CPU.
create function settle_set(issues int[], sellers int[], buyers int[], quantities bigint[], amounts bigint[])
returns int language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
  missing int;
begin
  with net as materialized (select account, change from net_money(sellers, buyers, amounts) order by account),
    done as (update cash set balance = balance + change from net where account_id = account returning 1)
    select (select count(*) from net) - (select count(*) from done) into missing;
  if missing <> 0 then
    raise exception 'there is no such account';
  end if;
  with net as materialized (select issue, account, change from net_units(issues, sellers, buyers, quantities)),
    done as (update position set qty = qty + change from net where issue_id = issue and account_id = account returning 1)
    select (select count(*) from net) - (select count(*) from done) into missing;
  if missing <> 0 then
    -- Whoever holds none and sells more than it buys is stopped here, by the check of the table.
    insert into position (issue_id, account_id, qty, broker_id)
      select issue, account, change, broker_id
      from net_units(issues, sellers, buyers, quantities) join account on id = account
      where not exists (select from position where issue_id = issue and account_id = account);
  end if;
  insert into journal (kind, issue_id, seller, buyer, qty, amount)
    select 1, issue, seller, buyer, qty, amount
    from unnest(issues, sellers, buyers, quantities, amounts) o (issue, seller, buyer, qty, amount);
  return array_length(issues, 1);
end $$;
