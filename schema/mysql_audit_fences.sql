-- What the audit database itself refuses: changes and deletions, rows outside the newest batch, batches that do not follow
-- their predecessor, purges before their time. Triggers fire for every account and cannot be switched off by a session,
-- as foreign keys can. They do not fire for TRUNCATE and other DDL: no account has those rights at run time.
-- A ledger row is checked against the spine, because a partitioned table cannot be unique over audit_sequence alone. Other
-- rows are checked against variables that the spine's trigger sets: as cheap as it gets for what mistakes can do.
-- Triggers read with locks: a look at the newest row of the spine would be cheaper, but waits for whoever writes it.
DELIMITER //

CREATE TRIGGER system_audit_log_no_upd BEFORE UPDATE ON system_audit_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER system_audit_log_no_del BEFORE DELETE ON system_audit_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER system_audit_log_fence BEFORE INSERT ON system_audit_log FOR EACH ROW
BEGIN
  IF NOT EXISTS (SELECT 1 FROM audit_sequence_manager s WHERE s.batch_no = NEW.batch_no
      AND NEW.audit_sequence BETWEEN s.first_sequence AND s.last_sequence
      AND s.recorded_at = NEW.recorded_at AND s.source_db = NEW.source_db)
    OR EXISTS (SELECT 1 FROM audit_sequence_manager s WHERE s.batch_no = NEW.batch_no + 1) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the head batch';
  END IF;
END//

CREATE TRIGGER user_activity_log_no_upd BEFORE UPDATE ON user_activity_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER user_activity_log_no_del BEFORE DELETE ON user_activity_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER user_activity_log_fence BEFORE INSERT ON user_activity_log FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER login_audit_no_upd BEFORE UPDATE ON login_audit FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER login_audit_no_del BEFORE DELETE ON login_audit FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER login_audit_fence BEFORE INSERT ON login_audit FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER database_changes_no_upd BEFORE UPDATE ON database_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER database_changes_no_del BEFORE DELETE ON database_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER database_changes_fence BEFORE INSERT ON database_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER permission_changes_no_upd BEFORE UPDATE ON permission_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER permission_changes_no_del BEFORE DELETE ON permission_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER permission_changes_fence BEFORE INSERT ON permission_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER configuration_changes_no_upd BEFORE UPDATE ON configuration_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER configuration_changes_no_del BEFORE DELETE ON configuration_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER configuration_changes_fence BEFORE INSERT ON configuration_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER security_events_no_upd BEFORE UPDATE ON security_events FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER security_events_no_del BEFORE DELETE ON security_events FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER security_events_fence BEFORE INSERT ON security_events FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER backup_recovery_no_upd BEFORE UPDATE ON backup_recovery FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER backup_recovery_no_del BEFORE DELETE ON backup_recovery FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER backup_recovery_fence BEFORE INSERT ON backup_recovery FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER audit_sequence_manager_no_upd BEFORE UPDATE ON audit_sequence_manager FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_sequence_manager_no_del BEFORE DELETE ON audit_sequence_manager FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_sequence_manager_open AFTER INSERT ON audit_sequence_manager FOR EACH ROW
SET @genims_batch = NEW.batch_no, @genims_at = NEW.recorded_at, @genims_source = NEW.source_db,
  @genims_first = NEW.first_sequence, @genims_last = NEW.last_sequence//

CREATE TRIGGER audit_sequence_manager_chain BEFORE INSERT ON audit_sequence_manager FOR EACH ROW
BEGIN
  DECLARE c_from, c_to BIGINT DEFAULT NULL;
  DECLARE c_part, c_last INT DEFAULT NULL;
  IF NEW.batch_no > 0 AND NOT EXISTS (SELECT 1 FROM audit_sequence_manager p WHERE p.batch_no = NEW.prev_batch_no
      AND p.last_sequence = NEW.prev_last_sequence AND p.batch_hash = NEW.prev_hash
      AND p.recorded_at = NEW.prev_recorded_at) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'chain: predecessor does not match';
  END IF;
  SELECT p.tick_from, p.tick_to, p.part_no, p.is_last_part INTO c_from, c_to, c_part, c_last
    FROM audit_sequence_manager p WHERE p.source_db = NEW.source_db AND p.incarnation = NEW.incarnation
    ORDER BY p.tick_from DESC, p.part_no DESC LIMIT 1;
  IF c_to IS NULL THEN
    IF NEW.batch_kind NOT IN ('GENESIS','OPEN') OR NEW.part_no <> 0 THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cursor: source not opened';
    END IF;
  ELSEIF c_last = 1 THEN
    IF NEW.tick_from <> c_to OR NEW.part_no <> 0 THEN
      SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cursor: range does not continue';
    END IF;
  ELSEIF NEW.tick_from <> c_from OR NEW.tick_to <> c_to OR NEW.part_no <> c_part + 1 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cursor: part does not continue';
  END IF;
END//

CREATE TRIGGER audit_etl_sync_log_no_upd BEFORE UPDATE ON audit_etl_sync_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_etl_sync_log_no_del BEFORE DELETE ON audit_etl_sync_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_etl_sync_log_fence BEFORE INSERT ON audit_etl_sync_log FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER data_change_audit_no_upd BEFORE UPDATE ON data_change_audit FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER data_change_audit_no_del BEFORE DELETE ON data_change_audit FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER data_change_audit_fence BEFORE INSERT ON data_change_audit FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER bulk_operation_audit_no_upd BEFORE UPDATE ON bulk_operation_audit FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER bulk_operation_audit_no_del BEFORE DELETE ON bulk_operation_audit FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER bulk_operation_audit_fence BEFORE INSERT ON bulk_operation_audit FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER financial_data_changes_no_upd BEFORE UPDATE ON financial_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER financial_data_changes_no_del BEFORE DELETE ON financial_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER financial_data_changes_fence BEFORE INSERT ON financial_data_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER master_data_changes_no_upd BEFORE UPDATE ON master_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER master_data_changes_no_del BEFORE DELETE ON master_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER master_data_changes_fence BEFORE INSERT ON master_data_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER price_cost_changes_no_upd BEFORE UPDATE ON price_cost_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER price_cost_changes_no_del BEFORE DELETE ON price_cost_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER price_cost_changes_fence BEFORE INSERT ON price_cost_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER customer_data_changes_no_upd BEFORE UPDATE ON customer_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER customer_data_changes_no_del BEFORE DELETE ON customer_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER customer_data_changes_fence BEFORE INSERT ON customer_data_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER supplier_data_changes_no_upd BEFORE UPDATE ON supplier_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER supplier_data_changes_no_del BEFORE DELETE ON supplier_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER supplier_data_changes_fence BEFORE INSERT ON supplier_data_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER personnel_data_changes_no_upd BEFORE UPDATE ON personnel_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER personnel_data_changes_no_del BEFORE DELETE ON personnel_data_changes FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER personnel_data_changes_fence BEFORE INSERT ON personnel_data_changes FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER sla_compliance_tracking_no_upd BEFORE UPDATE ON sla_compliance_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER sla_compliance_tracking_no_del BEFORE DELETE ON sla_compliance_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER sla_compliance_tracking_fence BEFORE INSERT ON sla_compliance_tracking FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER gdpr_data_request_log_no_upd BEFORE UPDATE ON gdpr_data_request_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER gdpr_data_request_log_no_del BEFORE DELETE ON gdpr_data_request_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER gdpr_data_request_log_fence BEFORE INSERT ON gdpr_data_request_log FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER legal_hold_tracking_no_upd BEFORE UPDATE ON legal_hold_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER legal_hold_tracking_no_del BEFORE DELETE ON legal_hold_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER legal_hold_tracking_fence BEFORE INSERT ON legal_hold_tracking FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER sox_compliance_log_no_upd BEFORE UPDATE ON sox_compliance_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER sox_compliance_log_no_del BEFORE DELETE ON sox_compliance_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER sox_compliance_log_fence BEFORE INSERT ON sox_compliance_log FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER hipaa_compliance_log_no_upd BEFORE UPDATE ON hipaa_compliance_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER hipaa_compliance_log_no_del BEFORE DELETE ON hipaa_compliance_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER hipaa_compliance_log_fence BEFORE INSERT ON hipaa_compliance_log FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER audit_trail_completeness_no_upd BEFORE UPDATE ON audit_trail_completeness FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_trail_completeness_no_del BEFORE DELETE ON audit_trail_completeness FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_trail_completeness_fence BEFORE INSERT ON audit_trail_completeness FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER audit_report_schedule_no_upd BEFORE UPDATE ON audit_report_schedule FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_report_schedule_no_del BEFORE DELETE ON audit_report_schedule FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_report_schedule_fence BEFORE INSERT ON audit_report_schedule FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER retention_policy_tracking_no_upd BEFORE UPDATE ON retention_policy_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER retention_policy_tracking_no_del BEFORE DELETE ON retention_policy_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER retention_policy_tracking_fence BEFORE INSERT ON retention_policy_tracking FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER audit_archive_log_no_upd BEFORE UPDATE ON audit_archive_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_archive_log_no_del BEFORE DELETE ON audit_archive_log FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_archive_log_fence BEFORE INSERT ON audit_archive_log FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER audit_integrity_checkpoints_no_upd BEFORE UPDATE ON audit_integrity_checkpoints FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_integrity_checkpoints_no_del BEFORE DELETE ON audit_integrity_checkpoints FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER audit_integrity_checkpoints_fence BEFORE INSERT ON audit_integrity_checkpoints FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER compliance_violations_no_upd BEFORE UPDATE ON compliance_violations FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER compliance_violations_no_del BEFORE DELETE ON compliance_violations FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER compliance_violations_fence BEFORE INSERT ON compliance_violations FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE TRIGGER certification_compliance_tracking_no_upd BEFORE UPDATE ON certification_compliance_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER certification_compliance_tracking_no_del BEFORE DELETE ON certification_compliance_tracking FOR EACH ROW
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'audit tables are append-only'//

CREATE TRIGGER certification_compliance_tracking_fence BEFORE INSERT ON certification_compliance_tracking FOR EACH ROW
BEGIN
  IF NOT (NEW.batch_no <=> @genims_batch AND NEW.recorded_at <=> @genims_at AND NEW.source_db <=> @genims_source
      AND NEW.audit_sequence >= @genims_first AND NEW.audit_sequence <= @genims_last) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'row outside the batch of this transaction';
  END IF;
END//

CREATE PROCEDURE audit_purge_partition(IN p_table VARCHAR(64), IN p_year INT) SQL SECURITY DEFINER
BEGIN
  DECLARE n INT;
  SELECT COUNT(*) INTO n FROM information_schema.partitions WHERE table_schema = DATABASE() AND table_name = p_table
    AND partition_name = CONCAT('p', p_year);
  IF n <> 1 OR p_table IN ('legal_hold_tracking','audit_archive_log','audit_integrity_checkpoints') THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'purge: no such partition or never purged';
  END IF;
  IF UTC_TIMESTAMP() < DATE_ADD(MAKEDATE(p_year + 1, 1), INTERVAL 2555 DAY) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'purge: retention not over';
  END IF;
  SELECT COUNT(*) INTO n FROM audit_archive_log a WHERE a.table_name = p_table AND a.partition_year = p_year
    AND a.action = 'VERIFIED' AND a.status = 'OK';
  IF n = 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'purge: archive not verified';
  END IF;
  SELECT COUNT(*) INTO n FROM audit_archive_log a WHERE a.table_name = p_table AND a.partition_year = p_year
    AND a.action = 'PURGE_APPROVED' AND a.status = 'OK' AND a.approved_by <> a.second_approver
    AND a.approved_by <> a.performed_by AND a.second_approver <> a.performed_by
    AND a.event_timestamp > UTC_TIMESTAMP(6) - INTERVAL 7 DAY;
  IF n = 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'purge: two approvals missing';
  END IF;
  SELECT COUNT(*) INTO n FROM legal_hold_tracking h WHERE h.status = 'ACTIVE' AND h.action <> 'BLOCKED'
    AND NOT EXISTS (SELECT 1 FROM legal_hold_tracking r WHERE r.hold_id = h.hold_id AND r.revision > h.revision
      AND r.action <> 'BLOCKED')
    AND (h.scope_from IS NULL OR h.scope_from < MAKEDATE(p_year + 1, 1))
    AND (h.scope_to IS NULL OR h.scope_to >= MAKEDATE(p_year, 1));
  IF n > 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'purge: legal hold';
  END IF;
  SET @ddl = CONCAT('ALTER TABLE `', p_table, '` DROP PARTITION p', p_year);
  PREPARE s FROM @ddl;
  EXECUTE s;
  DEALLOCATE PREPARE s;
END//

DELIMITER ;
