-- What one payment is, in PostgreSQL's own best terms: one call, in which two
-- accounts are updated and one row is inserted under a unique key. Accounts of
-- the outside (world:*) have no row, or every deposit would wait for it.

CREATE TABLE accounts (
	id       text PRIMARY KEY,
	currency text NOT NULL,
	posted   bigint NOT NULL DEFAULT 0,
	version  bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 70); -- room for updates that stay in their page

CREATE SEQUENCE payment_seq CACHE 100;

-- A row is also the idempotency record: it has all that the first answer had.
CREATE TABLE payments (
	key                 text PRIMARY KEY,
	seq                 bigint NOT NULL DEFAULT nextval('payment_seq'),
	status              smallint NOT NULL, -- of the HTTP answer
	source              text NOT NULL,
	destination         text NOT NULL,
	amount              bigint NOT NULL,
	currency            text NOT NULL,
	source_posted       bigint, -- after the payment; null outside, and of refusals
	source_version      bigint,
	destination_posted  bigint,
	destination_version bigint,
	created_at          timestamptz NOT NULL DEFAULT now()
);

-- pay makes a payment or raises: P0402 if the source cannot pay, P0404 if the
-- destination cannot be paid, unique_violation if the key was used. The lower
-- id is locked first, so that two payments never wait for each other.
CREATE FUNCTION pay(p_key text, p_source text, p_destination text, p_amount bigint, p_currency text)
RETURNS payments LANGUAGE plpgsql AS $$
DECLARE
	p payments;
	from_world boolean := starts_with(p_source, 'world:');
	to_world   boolean := starts_with(p_destination, 'world:');
BEGIN
	IF NOT from_world AND p_source < p_destination THEN
		UPDATE accounts SET posted = posted - p_amount, version = version + 1
		WHERE id = p_source AND currency = p_currency AND posted >= p_amount
		RETURNING posted, version INTO p.source_posted, p.source_version;
		IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = 'P0402'; END IF;
	END IF;
	IF NOT to_world THEN
		UPDATE accounts SET posted = posted + p_amount, version = version + 1
		WHERE id = p_destination AND currency = p_currency
		RETURNING posted, version INTO p.destination_posted, p.destination_version;
		IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = 'P0404'; END IF;
	END IF;
	IF NOT from_world AND p_source >= p_destination THEN
		UPDATE accounts SET posted = posted - p_amount, version = version + 1
		WHERE id = p_source AND currency = p_currency AND posted >= p_amount
		RETURNING posted, version INTO p.source_posted, p.source_version;
		IF NOT FOUND THEN RAISE EXCEPTION USING ERRCODE = 'P0402'; END IF;
	END IF;
	INSERT INTO payments (key, status, source, destination, amount, currency,
		source_posted, source_version, destination_posted, destination_version)
	VALUES (p_key, 201, p_source, p_destination, p_amount, p_currency,
		p.source_posted, p.source_version, p.destination_posted, p.destination_version)
	RETURNING * INTO p;
	RETURN p;
END $$;

-- settle follows a pay that raised: it returns what the key stands for, which it
-- makes a refusal if the key is new. fresh tells which.
CREATE FUNCTION settle(p_key text, p_status smallint, p_source text, p_destination text, p_amount bigint, p_currency text,
	OUT fresh boolean, OUT p payments)
LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO payments (key, status, source, destination, amount, currency)
	VALUES (p_key, p_status, p_source, p_destination, p_amount, p_currency)
	ON CONFLICT (key) DO NOTHING;
	fresh := FOUND;
	SELECT * INTO p FROM payments WHERE key = p_key;
END $$;
