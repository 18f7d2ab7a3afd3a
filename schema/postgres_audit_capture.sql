-- Audit capture in one source database (PostgreSQL 14 or later): roles, the schema `audit` and its functions.
--
-- `genims audit install` runs this file in the transaction that also attaches the triggers to the audited tables. It
-- changes only what differs, so it may run at any time; the account that runs it is a superuser, or owns the database
-- and may create roles. What the columns and functions mean stands in their comments.

-- 1. Roles. They belong to the server; each source has its own objects.
DO $do$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['genims_audit_owner', 'genims_audit_relay', 'genims_audit_app',
                                'genims_audit_maintenance'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
    END IF;
  END LOOP;
  IF NOT pg_has_role('genims_audit_owner', 'member') THEN
    EXECUTE format('GRANT genims_audit_owner TO %I', current_user);
  END IF;
  IF to_regnamespace('audit') IS NULL THEN
    CREATE SCHEMA audit AUTHORIZATION genims_audit_owner;
  END IF;
END $do$;

SET LOCAL ROLE genims_audit_owner;

-- 2. Tables. CREATE ... IF NOT EXISTS would lock a busy queue before it looks.
DO $do$
BEGIN
  IF to_regclass('audit.queue') IS NULL THEN
    -- Neither CHECK nor foreign key nor trigger: an event that cannot be written fails the business transaction.
    CREATE TABLE audit.queue (
      event_id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
      slot smallint NOT NULL
        DEFAULT ((floor(extract(epoch FROM clock_timestamp()) / 86400))::bigint % 32)::smallint,
      xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
      occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      nonce uuid NOT NULL DEFAULT gen_random_uuid(),
      kind text NOT NULL,
      op text NOT NULL,
      schema_name name,
      table_name name,
      class text,
      pk text,
      old jsonb,
      new jsonb,
      ctx text,
      detail jsonb,
      db_user name NOT NULL DEFAULT session_user,
      set_role text,
      client_addr inet DEFAULT inet_client_addr(),
      app_name text,
      pid int DEFAULT pg_backend_pid(),
      PRIMARY KEY (slot, event_id)
    ) PARTITION BY LIST (slot);
    CREATE INDEX queue_xid ON audit.queue (xid, event_id);
    COMMENT ON TABLE audit.queue IS 'Every event, until it is delivered; a ring of 32 days, one partition each';
    COMMENT ON COLUMN audit.queue.xid IS 'Top-level transaction, also inside savepoints';
    COMMENT ON COLUMN audit.queue.nonce IS 'Salts the digest of the event; never leaves PostgreSQL';
    COMMENT ON COLUMN audit.queue.ctx IS 'What the application said about itself; a claim, unlike db_user';
  END IF;
  -- All partitions exist at all times, so no insert can fail for want of one.
  FOR s IN 0..31 LOOP
    IF to_regclass(format('audit.queue_%s', lpad(s::text, 2, '0'))) IS NULL THEN
      EXECUTE format('CREATE TABLE audit.queue_%s PARTITION OF audit.queue FOR VALUES IN (%s)',
                     lpad(s::text, 2, '0'), s);
    END IF;
    -- Rows neither change nor are deleted, a slot is emptied by TRUNCATE: there is nothing to clean up, and at a high
    -- rate each partition of the day would be analysed every minute, while events wait for the disk.
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass(format('audit.queue_%s', lpad(s::text, 2, '0')))
                   AND reloptions @> ARRAY['autovacuum_enabled=off']) THEN
      EXECUTE format('ALTER TABLE audit.queue_%s SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)',
                     lpad(s::text, 2, '0'));
    END IF;
  END LOOP;
  IF to_regclass('audit.tick') IS NULL THEN
    CREATE TABLE audit.tick (
      tick_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      snap pg_snapshot NOT NULL,
      seq_hint bigint NOT NULL,
      at timestamptz NOT NULL DEFAULT clock_timestamp(),
      token uuid NOT NULL DEFAULT gen_random_uuid()
    );
    COMMENT ON TABLE audit.tick IS 'Stored snapshots; the events between two of them are one range of delivery';
    -- Nothing precedes the first tick. A real snapshot would leave out the transaction that takes it, so the events of
    -- the installation itself could count as seen.
    INSERT INTO audit.tick (snap, seq_hint) VALUES ('1:1:', 0);
  END IF;
  IF to_regclass('audit.state') IS NULL THEN
    CREATE TABLE audit.state (key text PRIMARY KEY, value text NOT NULL);
    INSERT INTO audit.state VALUES ('install_uid', gen_random_uuid()::text);
  END IF;
  IF to_regclass('audit.policy') IS NULL THEN
    CREATE TABLE audit.policy (
      schema_name name,
      table_name name,
      class text NOT NULL,
      also text,
      pk name NOT NULL,
      secret text[] NOT NULL,
      baseline_at timestamptz,
      PRIMARY KEY (schema_name, table_name)
    );
    COMMENT ON COLUMN audit.policy.baseline_at IS 'When the rows of the table were last counted and digested';
  END IF;
  IF to_regclass('audit.fingerprint') IS NULL THEN
    CREATE TABLE audit.fingerprint (
      item text,
      identity text,
      definition text NOT NULL,
      PRIMARY KEY (item, identity)
    );
    COMMENT ON TABLE audit.fingerprint IS 'The catalogue as it was last seen';
  END IF;
END $do$;

-- 3. Capture. No exception handler, comparison or notification in it: swallowing an error would lose an event, storing
-- both images is cheaper than comparing them, and NOTIFY takes one lock for the whole server at commit.
CREATE OR REPLACE FUNCTION audit.capture() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $f$
-- Arguments: class, primary key column, secret columns as an array literal or ''.
DECLARE
  o jsonb;
  n jsonb;
  sec text[];
  ch jsonb;
  cnt bigint;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    IF current_setting('audit.maintenance', true) IS DISTINCT FROM 'on'
       OR NOT pg_has_role(session_user, 'genims_audit_maintenance', 'member') THEN
      RAISE EXCEPTION 'TRUNCATE of audited table %.% refused', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = '42501',
              HINT = 'Use DELETE; a member of genims_audit_maintenance may set audit.maintenance = on.';
    END IF;
    EXECUTE format('SELECT count(*) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO cnt;
    INSERT INTO audit.queue (kind, op, schema_name, table_name, class, ctx, detail, set_role, app_name)
    VALUES ('TRUNCATE', 'TRUNCATE', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0],
            nullif(current_setting('audit.ctx', true), ''), jsonb_build_object('rows', cnt),
            nullif(current_setting('role'), 'none'), current_setting('application_name'));
    RETURN NULL;
  END IF;
  -- Few expressions: each is prepared anew in every transaction. The image that there is not is NULL.
  o := to_jsonb(OLD);
  n := to_jsonb(NEW);
  IF TG_ARGV[2] <> '' THEN
    sec := TG_ARGV[2]::text[];
    SELECT jsonb_agg(c) INTO ch FROM unnest(sec) c WHERE (o -> c) IS DISTINCT FROM (n -> c);
    o := o - sec;
    n := n - sec;
  END IF;
  INSERT INTO audit.queue (kind, op, schema_name, table_name, class, pk, old, new, ctx, detail, set_role, app_name)
  VALUES ('ROW', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0], coalesce(n, o) ->> TG_ARGV[1], o, n,
          nullif(current_setting('audit.ctx', true), ''),
          CASE WHEN ch IS NOT NULL THEN jsonb_build_object('secret_changed', ch) END,
          nullif(current_setting('role'), 'none'), current_setting('application_name'));
  RETURN NULL;
END $f$;

-- 4. Delivery.
CREATE OR REPLACE FUNCTION audit.make_tick() RETURNS TABLE (tick_id bigint, made boolean) LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET synchronous_commit = 'on' SET enable_seqscan = off AS $f$
-- The newest tick, made now if anything may have happened since the last one. Must be a transaction of its own. A session
-- keeps its plan for days; one from before a day filled its slot would read the whole slot each time nothing happened.
DECLARE
  h bigint;
  id bigint;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' OR pg_current_xact_id_if_assigned() IS NOT NULL THEN
    RAISE EXCEPTION 'audit.make_tick() must be called in autocommit and READ COMMITTED' USING ERRCODE = '25001';
  END IF;
  -- In a statement of its own, before the snapshot: read later, the sequence could count a row that the snapshot does
  -- not see, and that row would wait until the next event.
  SELECT last_value INTO h FROM audit.queue_event_id_seq;
  INSERT INTO audit.tick AS t (snap, seq_hint)
  SELECT pg_current_snapshot(), h FROM (SELECT * FROM audit.tick ORDER BY tick.tick_id DESC LIMIT 1) l
  WHERE l.seq_hint <> h OR pg_snapshot_xmin(l.snap) <> pg_snapshot_xmax(l.snap)
        OR l.at < clock_timestamp() - interval '2 s'
        -- A snapshot does not list a running transaction that is newer than every finished one, so neither the sequence
        -- nor the list tells that it has committed since.
        OR EXISTS (SELECT FROM audit.queue q WHERE q.xid >= pg_snapshot_xmax(l.snap))
  RETURNING t.tick_id INTO id;
  IF id IS NOT NULL THEN
    tick_id := id;
    made := true;
    RETURN NEXT;
    RETURN;
  END IF;
  RETURN QUERY SELECT max(t2.tick_id), false FROM audit.tick t2;
END $f$;

CREATE OR REPLACE FUNCTION audit.rotate(p_tick bigint, p_keep_days int) RETURNS text[] LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $f$
-- Empties the slots whose events are all delivered (seen by the delivered tick p_tick) and older than p_keep_days.
DECLARE
  q text;
  r text[] := '{}';
  sn pg_snapshot;
  bad bigint;
  newest timestamptz;
BEGIN
  SELECT snap INTO STRICT sn FROM audit.tick WHERE tick_id = p_tick;
  FOR s IN 0..31 LOOP
    q := 'audit.queue_' || lpad(s::text, 2, '0');
    EXECUTE 'SELECT occurred_at FROM ' || q || ' WHERE slot = ' || s || ' ORDER BY event_id DESC LIMIT 1' INTO newest;
    CONTINUE WHEN newest IS NULL OR newest > clock_timestamp() - make_interval(days => p_keep_days);
    BEGIN
      EXECUTE 'LOCK TABLE ' || q || ' IN ACCESS EXCLUSIVE MODE NOWAIT';
      EXECUTE 'SELECT count(*) FROM ' || q || ' WHERE (xid >= pg_snapshot_xmin($1)'
              ' AND NOT pg_visible_in_snapshot(xid, $1))'
              ' OR occurred_at > clock_timestamp() - make_interval(days => $2)' INTO bad USING sn, p_keep_days;
      IF bad = 0 THEN
        EXECUTE 'TRUNCATE ' || q;
        r := r || s::text;
      END IF;
    EXCEPTION WHEN lock_not_available THEN NULL;  -- somebody writes to it: next time
    END;
  END LOOP;
  DELETE FROM audit.tick WHERE tick_id < p_tick AND at < clock_timestamp() - make_interval(days => p_keep_days);
  RETURN r;
END $f$;

CREATE OR REPLACE FUNCTION audit.reconcile(p_after bigint, p_upto bigint)
  RETURNS TABLE (source_table text, events bigint, digest numeric) LANGUAGE sql STABLE
  SET search_path = pg_catalog, pg_temp AS $f$
-- Per table (NULL: events of none) how many events tick p_upto sees and tick p_after does not, and the sum of the first
-- 56 bits of their digests, which does not depend on their order. The audit database must have the same.
WITH l AS (SELECT snap FROM audit.tick WHERE tick_id = p_after),
c AS (SELECT snap FROM audit.tick WHERE tick_id = p_upto),
e AS (
  SELECT q.* FROM audit.queue q, l, c
  WHERE q.xid >= pg_snapshot_xmax(l.snap) AND q.xid < pg_snapshot_xmax(c.snap) AND pg_visible_in_snapshot(q.xid, c.snap)
  UNION ALL
  SELECT q.* FROM audit.queue q, l, c
  WHERE q.xid < pg_snapshot_xmax(l.snap) AND q.xid = ANY (ARRAY(
    SELECT x FROM l, pg_snapshot_xip(l.snap) x EXCEPT SELECT x FROM c, pg_snapshot_xip(c.snap) x))
), roots AS (
  SELECT DISTINCT ON (leaf.relname) leaf.relname AS leaf, root.relname AS root
  FROM pg_class leaf JOIN pg_class root ON root.oid = pg_partition_root(leaf.oid)
  WHERE leaf.relispartition AND leaf.relkind = 'r' AND leaf.relnamespace <> 'audit'::regnamespace
  ORDER BY leaf.relname
)
SELECT CASE WHEN e.kind IN ('ROW', 'TRUNCATE') THEN coalesce(r.root, e.table_name) ELSE e.table_name END::text, count(*),
       sum(('x' || encode(substr(sha256(convert_to(jsonb_build_array(event_id, xid::text,
         (extract(epoch FROM occurred_at) * 1000000)::bigint, kind, op, schema_name, table_name, class, pk, old, new,
         ctx, detail, db_user, set_role, host(client_addr), app_name, pid, nonce)::text, 'UTF8')), 1, 7),
         'hex'))::bit(56)::bigint)
FROM e LEFT JOIN roots r ON r.leaf = e.table_name GROUP BY 1 ORDER BY 1;
$f$;

-- 5. What applications say.
CREATE OR REPLACE FUNCTION audit.set_context(
  user_id text DEFAULT NULL, role_name text DEFAULT NULL, session_id text DEFAULT NULL, ip text DEFAULT NULL,
  application text DEFAULT NULL, reason text DEFAULT NULL, approval text DEFAULT NULL, request text DEFAULT NULL,
  is_local boolean DEFAULT true
) RETURNS void LANGUAGE plpgsql AS $f$
-- Says who acts and why, for the rest of the transaction (or of the session, where connections are not pooled).
-- An assignment in PL/pgSQL is prepared once a session, a body in SQL at each call; names need no search_path.
DECLARE
  stored text;
BEGIN
  stored := pg_catalog.set_config('audit.ctx', pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
    'user', user_id, 'role', role_name, 'session', session_id, 'ip', ip, 'app', application, 'reason', reason,
    'approval', approval, 'request', request))::pg_catalog.text, is_local);
END $f$;

CREATE OR REPLACE FUNCTION audit.begin_bulk(reference text, reason text DEFAULT NULL, approval text DEFAULT NULL)
  RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $f$
-- Marks the rest of the transaction as one bulk operation.
SELECT set_config('audit.ctx', (coalesce(nullif(current_setting('audit.ctx', true), '')::jsonb, '{}')
  || jsonb_strip_nulls(jsonb_build_object('bulk', reference, 'reason', reason, 'approval', approval)))::text, true);
$f$;

CREATE OR REPLACE FUNCTION audit.log_event(kind text, op text, allowed text[], detail jsonb) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
  IF NOT op = ANY (allowed) OR op IS NULL THEN
    RAISE EXCEPTION '% is no % event; possible are %', coalesce(quote_literal(op), 'NULL'), kind,
      array_to_string(allowed, ', ') USING ERRCODE = '22023';
  END IF;
  INSERT INTO audit.queue (kind, op, ctx, detail, set_role, app_name)
  VALUES (kind, op, nullif(current_setting('audit.ctx', true), ''),
          (SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(detail) e WHERE e.value <> 'null'),
          nullif(current_setting('role'), 'none'), current_setting('application_name'));
END $f$;

CREATE OR REPLACE FUNCTION audit.log_activity(
  activity text, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL, row_count bigint DEFAULT NULL,
  detail jsonb DEFAULT NULL, status text DEFAULT 'SUCCESS', duration_ms bigint DEFAULT NULL
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
-- Records what a trigger cannot see, above all reads. resource_type is `source.table`, a report or a kind of file.
SELECT audit.log_event('ACTIVITY', activity,
  '{READ,SEARCH,EXPORT,REPORT,PRINT,DOWNLOAD,DENIED,OTHER}', jsonb_build_object('resource_type', resource_type,
  'resource_id', resource_id, 'rows', row_count, 'detail', detail, 'status', status, 'duration_ms', duration_ms));
$f$;

CREATE OR REPLACE FUNCTION audit.log_login(
  event text, user_id text, realm text, success boolean, failure_reason text DEFAULT NULL, method text DEFAULT NULL,
  mfa boolean DEFAULT NULL, ip text DEFAULT NULL, device text DEFAULT NULL, user_agent text DEFAULT NULL,
  session_id text DEFAULT NULL, duration_s bigint DEFAULT NULL
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
-- Records a login, logout, failure, lock or second factor of an application; duration_s at logout.
SELECT audit.log_event('LOGIN', event, '{LOGIN,LOGOUT,FAILED,LOCKED,MFA,TOKEN}', jsonb_build_object('user', user_id,
  'realm', realm, 'success', success, 'failure_reason', failure_reason, 'method', method, 'mfa', mfa, 'ip', ip,
  'device', device, 'user_agent', user_agent, 'session', session_id, 'duration_s', duration_s));
$f$;

CREATE OR REPLACE FUNCTION audit.log_config(
  module text, key text, old_value text, new_value text, approval text DEFAULT NULL
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
-- Records a change of an application's own setting.
SELECT audit.log_event('CONFIG', 'SET', '{SET}', jsonb_build_object('module', module, 'key', key, 'old', old_value,
  'new', new_value, 'approval', approval));
$f$;

CREATE OR REPLACE FUNCTION audit.log_security(
  type text, severity text, description text, detail jsonb DEFAULT NULL
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $f$
-- Records a security event; type names the rule in at most 16 characters, severity is LOW, MEDIUM, HIGH or CRITICAL.
BEGIN
  IF severity IS NULL OR severity NOT IN ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL') THEN
    RAISE EXCEPTION '% is no severity; possible are LOW, MEDIUM, HIGH, CRITICAL', coalesce(quote_literal(severity),
      'NULL') USING ERRCODE = '22023';
  END IF;
  IF type IS NULL OR type !~ '^[A-Z][A-Z0-9_]{0,15}$' THEN
    RAISE EXCEPTION '% is no type of security event: up to 16 capitals, digits and _',
      coalesce(quote_literal(type), 'NULL') USING ERRCODE = '22023';
  END IF;
  PERFORM audit.log_event('SECURITY', type, ARRAY[type], jsonb_build_object('severity', severity, 'description',
    description, 'detail', detail));
END $f$;

-- 6. The catalogue: structure, rights and roles.
CREATE OR REPLACE FUNCTION audit.on_ddl() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  r record;
  q text := regexp_replace(left(current_query(), 20000), '(password\s+)(''[^'']*''|\$\w*\$.*?\$\w*\$)', '\1''***''',
                           'gi');
BEGIN
  FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE schema_name IS DISTINCT FROM 'pg_temp' LOOP
    INSERT INTO audit.queue (kind, op, schema_name, table_name, pk, ctx, detail, set_role, app_name)
    VALUES (CASE WHEN r.command_tag IN ('GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES') THEN 'PERMISSION' ELSE 'DDL' END,
            left(r.command_tag, 16), r.schema_name, left(r.object_type, 63), left(r.object_identity, 255),
            nullif(current_setting('audit.ctx', true), ''),
            jsonb_build_object('tag', r.command_tag, 'statement', q, 'in_extension', r.in_extension),
            nullif(current_setting('role'), 'none'), current_setting('application_name'));
  END LOOP;
END $f$;

CREATE OR REPLACE FUNCTION audit.on_drop() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
  r record;
  q text := regexp_replace(left(current_query(), 20000), '(password\s+)(''[^'']*''|\$\w*\$.*?\$\w*\$)', '\1''***''',
                           'gi');
BEGIN
  FOR r IN SELECT * FROM pg_event_trigger_dropped_objects() WHERE original AND NOT is_temporary LOOP
    INSERT INTO audit.queue (kind, op, schema_name, table_name, pk, ctx, detail, set_role, app_name)
    VALUES ('DDL', 'DROP', r.schema_name, left(r.object_type, 63), left(r.object_identity, 255),
            nullif(current_setting('audit.ctx', true), ''),
            jsonb_build_object('tag', TG_TAG, 'statement', q),
            nullif(current_setting('role'), 'none'), current_setting('application_name'));
  END LOOP;
END $f$;

CREATE OR REPLACE FUNCTION audit.catalog_now() RETURNS TABLE (item text, identity text, definition text) LANGUAGE sql
  STABLE SET search_path = pg_catalog, pg_temp AS $f$
WITH spaces AS (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), relations AS (
  SELECT c.*, format('%I.%I', s.nspname, c.relname) AS name FROM pg_class c JOIN spaces s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
)
SELECT 'COLUMN', r.name || '.' || quote_ident(a.attname),
       format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT r.relispartition AND r.relkind <> 'S'
UNION ALL
SELECT 'TABLE', name, format('kind %s, persistence %s, row security %s%s%s', relkind, relpersistence,
       relrowsecurity, CASE WHEN relforcerowsecurity THEN ' forced' ELSE '' END,
       CASE WHEN relispartition THEN ', partition' ELSE '' END)
FROM relations
UNION ALL
SELECT 'OWNER', 'relation ' || name, pg_get_userbyid(relowner)::text FROM relations
UNION ALL
SELECT 'OWNER', 'schema ' || quote_ident(nspname), pg_get_userbyid(nspowner)::text FROM spaces
UNION ALL
SELECT 'OWNER', 'database', pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT 'ACL', 'relation ' || name, relacl::text FROM relations WHERE relacl IS NOT NULL
UNION ALL
SELECT 'ACL', 'column ' || r.name || '.' || quote_ident(a.attname), a.attacl::text
FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid WHERE a.attacl IS NOT NULL
UNION ALL
SELECT 'ACL', 'schema ' || quote_ident(nspname), nspacl::text FROM spaces WHERE nspacl IS NOT NULL
UNION ALL
SELECT 'ACL', 'database', datacl::text FROM pg_database WHERE datname = current_database() AND datacl IS NOT NULL
UNION ALL
SELECT 'TRIGGER', r.name || '.' || quote_ident(t.tgname),
       t.tgenabled::text || CASE WHEN t.tgparentid <> 0 THEN ' of a partition' ELSE '' END || ' '
       || pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid
WHERE NOT t.tgisinternal OR starts_with(t.tgname, 'zz_audit_')
UNION ALL
SELECT 'TRIGGER', 'event trigger ' || quote_ident(evtname),
       format('%s %s %s', evtenabled, evtevent, evtfoid::regproc) FROM pg_event_trigger
UNION ALL
SELECT 'FUNCTION', p.oid::regprocedure::text, format('%s owner %s acl %s',
       encode(sha256(convert_to(pg_get_functiondef(p.oid), 'UTF8')), 'hex'), pg_get_userbyid(p.proowner),
       p.proacl::text)
FROM pg_proc p JOIN spaces s ON s.oid = p.pronamespace WHERE s.nspname = 'audit' AND p.prokind IN ('f', 'p')
UNION ALL
SELECT 'ROLE', quote_ident(rolname), concat_ws(' ', CASE WHEN rolsuper THEN 'superuser' END,
       CASE WHEN rolcanlogin THEN 'login' END, CASE WHEN rolcreaterole THEN 'createrole' END,
       CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolreplication THEN 'replication' END,
       CASE WHEN rolbypassrls THEN 'bypassrls' END, CASE WHEN rolinherit THEN 'inherit' END,
       'valid until ' || rolvaliduntil::text)
FROM pg_roles WHERE rolname !~ '^pg_'
UNION ALL
SELECT 'MEMBER', format('%I: %I', pg_get_userbyid(roleid), pg_get_userbyid(member)),
       CASE WHEN bool_or(admin_option) THEN 'admin' ELSE 'member' END
FROM pg_auth_members GROUP BY roleid, member
UNION ALL
SELECT 'SETTING', format('database %s, role %s', CASE WHEN setdatabase = 0 THEN 'any' ELSE 'this' END,
       CASE WHEN setrole = 0 THEN 'any' ELSE quote_ident(pg_get_userbyid(setrole)) END), setconfig::text
FROM pg_db_role_setting
WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
UNION ALL
SELECT 'DEFAULT_ACL', format('%s, schema %s, type %s', pg_get_userbyid(defaclrole),
       CASE WHEN defaclnamespace = 0 THEN 'any' ELSE defaclnamespace::regnamespace::text END, defaclobjtype),
       defaclacl::text
FROM pg_default_acl;
$f$;

CREATE OR REPLACE FUNCTION audit.compare_catalog(p_run text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $f$
-- Records each difference from the catalogue last seen and remembers the new state. With a run (of the installer) the
-- differences are its own; without one, those that touch capture itself are security events too.
DECLARE
  d record;
  number bigint := 0;
  seen text;
BEGIN
  LOCK TABLE audit.fingerprint IN SHARE ROW EXCLUSIVE MODE;
  IF NOT EXISTS (SELECT FROM audit.fingerprint) THEN
    INSERT INTO audit.fingerprint SELECT * FROM audit.catalog_now();
    SELECT encode(sha256(convert_to(string_agg(concat_ws(chr(31), item, identity, definition), chr(30)
           ORDER BY item COLLATE "C", identity COLLATE "C"), 'UTF8')), 'hex') INTO seen FROM audit.fingerprint;
    INSERT INTO audit.queue (kind, op, detail, app_name)
    VALUES ('MARK', 'FINGERPRINT', jsonb_build_object('sha256', seen, 'run', p_run),
            current_setting('application_name'));
    RETURN 0;
  END IF;
  FOR d IN
    SELECT item, identity, f.definition AS before, n.definition AS after
    FROM audit.catalog_now() n FULL JOIN audit.fingerprint f USING (item, identity)
    WHERE n.definition IS DISTINCT FROM f.definition ORDER BY item COLLATE "C", identity COLLATE "C"
  LOOP
    number := number + 1;
    DELETE FROM audit.fingerprint f WHERE f.item = d.item AND f.identity = d.identity;
    IF d.after IS NOT NULL THEN
      INSERT INTO audit.fingerprint VALUES (d.item, d.identity, d.after);
    END IF;
    INSERT INTO audit.queue (kind, op, table_name, pk, detail, app_name)
    VALUES (CASE WHEN d.item IN ('ROLE', 'MEMBER', 'OWNER', 'ACL', 'DEFAULT_ACL') THEN 'PERMISSION'
                 WHEN d.item = 'SETTING' THEN 'CONFIG' ELSE 'SCHEMA' END,
            CASE WHEN d.before IS NULL THEN 'APPEARED' WHEN d.after IS NULL THEN 'VANISHED' ELSE 'CHANGED' END,
            lower(d.item), left(d.identity, 255),
            jsonb_strip_nulls(jsonb_build_object('item', d.item, 'identity', d.identity, 'old', d.before,
                                                 'new', d.after, 'run', p_run)),
            current_setting('application_name'));
    IF p_run IS NULL AND (d.item = 'FUNCTION' OR d.identity ~ '^(relation |column |schema )?audit(\.|$)'
       -- A new partition brings its triggers with it; one that is detached loses them.
       OR (d.item = 'TRIGGER' AND d.identity ~ '(\.zz_audit_|^event trigger genims_audit_)'
           AND NOT (d.before IS NULL AND d.after LIKE 'A of a partition %'))
       OR (d.item = 'MEMBER' AND d.identity LIKE 'genims_audit_owner:%')
       OR (d.item = 'ROLE' AND d.after LIKE 'superuser%' AND d.before IS DISTINCT FROM d.after
           AND coalesce(d.before, '') NOT LIKE 'superuser%')) THEN
      INSERT INTO audit.queue (kind, op, detail, app_name)
      VALUES ('SECURITY', 'AUDIT_TAMPER',
              jsonb_build_object('severity', 'CRITICAL', 'description',
                format('%s %s %s outside an installation', lower(d.item), d.identity,
                       CASE WHEN d.before IS NULL THEN 'appeared' WHEN d.after IS NULL THEN 'vanished'
                            ELSE 'changed' END),
                'detail', jsonb_strip_nulls(jsonb_build_object('old', d.before, 'new', d.after))),
              current_setting('application_name'));
    END IF;
  END LOOP;
  RETURN number;
END $f$;

CREATE OR REPLACE FUNCTION audit.check_catalog() RETURNS bigint LANGUAGE sql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp AS $f$
-- Records what changed in the catalogue since the last call; returns the number of differences.
SELECT audit.compare_catalog(NULL);
$f$;

CREATE OR REPLACE FUNCTION audit.count_rows(
  p_schema text, p_table text, OUT number bigint, OUT digest numeric, OUT image text, OUT as_seen boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $f$
-- How many rows an audited table has, and the sum of the first 56 bits of the SHA-256 of each, which does not depend on
-- their order and holds no secret columns, so it can be carried on from the images in the queue. `image` stands for the
-- columns and types that the rows were digested with. TRUNCATE and a rewriting ALTER TABLE show at once to snapshots that
-- are older: `as_seen` is false if the caller's snapshot is.
DECLARE
  p record;
BEGIN
  SELECT * INTO p FROM audit.policy WHERE schema_name = p_schema AND table_name = p_table;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'table %.% is not audited', p_schema, p_table USING ERRCODE = '42501';
  END IF;
  SELECT encode(sha256(convert_to(coalesce(string_agg(quote_ident(a.attname) || ' '
         || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attname COLLATE "C"), ''), 'UTF8')), 'hex') INTO image
  FROM pg_attribute a WHERE a.attrelid = format('%I.%I', p_schema, p_table)::regclass AND a.attnum > 0
    AND NOT a.attisdropped AND a.attname <> ALL (p.secret);
  EXECUTE format('SELECT count(*), coalesce(sum((''x'' || encode(substr(sha256(convert_to((to_jsonb(t) - $1)::text,'
                 '''UTF8'')), 1, 7), ''hex''))::bit(56)::bigint), 0) FROM %I.%I t', p_schema, p_table)
    INTO number, digest USING p.secret;
  -- The left side is read by the snapshot, the right side is how it is now; nobody rewrites what was read just now.
  SELECT bool_and(c.relfilenode = coalesce(pg_relation_filenode(c.oid), 0)) INTO as_seen
  FROM pg_class c WHERE c.oid = format('%I.%I', p_schema, p_table)::regclass
    OR c.oid IN (SELECT relid FROM pg_partition_tree(format('%I.%I', p_schema, p_table)::regclass));
END $f$;

CREATE OR REPLACE FUNCTION audit.take_baselines(p_run text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $f$
-- Counts and digests the rows of each audited table that has no baseline yet; returns how many tables that were. Call
-- it in REPEATABLE READ. The recorded snapshot tells which events are part of the baseline.
DECLARE
  p record;
  c record;
  number bigint := 0;
  snapshot text := pg_current_snapshot()::text;
BEGIN
  FOR p IN SELECT * FROM audit.policy WHERE baseline_at IS NULL ORDER BY schema_name, table_name LOOP
    SELECT * INTO c FROM audit.count_rows(p.schema_name, p.table_name);
    INSERT INTO audit.queue (kind, op, schema_name, table_name, class, detail, app_name)
    VALUES ('MARK', 'BASELINE', p.schema_name, p.table_name, p.class,
            jsonb_build_object('rows', c.number, 'digest', c.digest::text, 'image', c.image, 'snapshot', snapshot,
                               'run', p_run),
            current_setting('application_name'));
    UPDATE audit.policy SET baseline_at = clock_timestamp()
    WHERE schema_name = p.schema_name AND table_name = p.table_name;
    number := number + 1;
  END LOOP;
  RETURN number;
END $f$;

-- 7. Rights: all that is granted on the schema stands here; anything else is taken away.
DO $do$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT 'TABLE ' || c.oid::regclass AS object, a.grantee
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v', 'm') AND a.grantee <> c.relowner
    UNION
    SELECT 'FUNCTION ' || p.oid::regprocedure, a.grantee
    FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    WHERE p.pronamespace = 'audit'::regnamespace AND a.grantee <> p.proowner
    UNION
    SELECT 'SCHEMA audit', a.grantee
    FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'audit' AND a.grantee <> n.nspowner
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s CASCADE', r.object,
                   CASE WHEN r.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r.grantee)) END);
  END LOOP;
END $do$;
GRANT USAGE ON SCHEMA audit TO genims_audit_relay, genims_audit_app;
GRANT SELECT ON audit.queue, audit.tick, audit.state, audit.policy TO genims_audit_relay;
GRANT EXECUTE ON FUNCTION audit.make_tick(), audit.rotate(bigint, int), audit.check_catalog(),
  audit.reconcile(bigint, bigint), audit.count_rows(text, text) TO genims_audit_relay;
GRANT EXECUTE ON FUNCTION audit.set_context, audit.begin_bulk, audit.log_activity, audit.log_login, audit.log_config,
  audit.log_security TO genims_audit_app;

RESET ROLE;
