-- The trade in two steps: the seller's side records it, the buyer's side confirms it, and that settles it.

create function record_trade(issue int, from_account int, to_account int, units bigint, price bigint)
returns bigint language plpgsql as $$
declare
  made bigint;
begin
  insert into trade (issue_id, seller, buyer, qty, amount) values (issue, from_account, to_account, units, price)
    returning id into made;
  return made;
end $$;

create function confirm_trade(the_trade bigint) returns void language plpgsql as $$
declare
  found_trade trade;
begin
  update trade set status = 1 where id = the_trade and status = 0 returning * into found_trade;
  if not found then
    raise exception 'trade % is not open', the_trade;
  end if;
  perform settle(found_trade.issue_id, found_trade.seller, found_trade.buyer, found_trade.qty, found_trade.amount);
end $$;

-- The same for many at once, each function one transaction.
create function record_batch(issues int[], sellers int[], buyers int[], quantities bigint[], amounts bigint[])
returns bigint[] language plpgsql as $$
declare
  made bigint[];
begin
  with recorded as (
    insert into trade (issue_id, seller, buyer, qty, amount)
      select * from unnest(issues, sellers, buyers, quantities, amounts)
      returning id
  ) select array_agg(id) into made from recorded;
  return made;
end $$;

create function confirm_batch(trades bigint[]) returns int language plpgsql as $$
declare
  issues int[]; sellers int[]; buyers int[]; quantities bigint[]; amounts bigint[];
begin
  with confirmed as (
    update trade set status = 1 where id = any (trades) and status = 0
      returning issue_id, seller, buyer, qty, amount
  ) select array_agg(issue_id), array_agg(seller), array_agg(buyer), array_agg(qty), array_agg(amount)
    into issues, sellers, buyers, quantities, amounts from confirmed;
  if array_length(issues, 1) is distinct from array_length(trades, 1) then
    raise exception 'a trade is not open';
  end if;
  return settle_set(issues, sellers, buyers, quantities, amounts);
end $$;
