-- Secondary indexes of the audit database, and yearly partitions for every table but the spine. Deployment makes the
-- partitions of this year and the nine after it, and adds years as time passes; there is none for all later rows: a row
-- without a partition is refused, so nothing lands where it would later be missed.

CREATE INDEX ix_table_time ON system_audit_log (table_name, audit_timestamp);
CREATE INDEX ix_user_time ON system_audit_log (user_id, audit_timestamp);
CREATE INDEX ix_event ON system_audit_log (source_db, event_id);
ALTER TABLE system_audit_log PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_user_time ON user_activity_log (user_id, activity_timestamp);
CREATE INDEX ix_resource ON user_activity_log (resource_type, resource_id, activity_timestamp);
CREATE INDEX ix_type_time ON user_activity_log (activity_type, activity_timestamp);
ALTER TABLE user_activity_log PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_user_time ON login_audit (user_id, login_timestamp);
CREATE INDEX ix_ip_time ON login_audit (source_ip, login_timestamp);
CREATE INDEX ix_status_time ON login_audit (login_status, login_timestamp);
ALTER TABLE login_audit PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_object_time ON database_changes (object_name, change_timestamp);
CREATE INDEX ix_user_time ON database_changes (db_user, change_timestamp);
CREATE INDEX ix_audit_time ON database_changes (affects_audit, change_timestamp);
ALTER TABLE database_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_grantee_time ON permission_changes (grantee, change_timestamp);
CREATE INDEX ix_modifier_time ON permission_changes (modified_by, change_timestamp);
CREATE INDEX ix_elev_time ON permission_changes (is_elevation, change_timestamp);
ALTER TABLE permission_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_key_time ON configuration_changes (config_key, change_timestamp);
CREATE INDEX ix_module_time ON configuration_changes (config_module, change_timestamp);
CREATE INDEX ix_user_time ON configuration_changes (user_id, change_timestamp);
ALTER TABLE configuration_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_sev_time ON security_events (event_severity, event_timestamp);
CREATE INDEX ix_rule_time ON security_events (rule_id, event_timestamp);
CREATE INDEX ix_user_time ON security_events (user_id, event_timestamp);
ALTER TABLE security_events PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_db_time ON backup_recovery (database_name, event_timestamp);
CREATE INDEX ix_status_time ON backup_recovery (status, event_timestamp);
CREATE INDEX ix_backup ON backup_recovery (backup_id);
ALTER TABLE backup_recovery PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_seq ON audit_sequence_manager (first_sequence);
CREATE INDEX ix_time ON audit_sequence_manager (recorded_at);

CREATE INDEX ix_source_time ON audit_etl_sync_log (synced_source, sync_timestamp);
CREATE INDEX ix_status_time ON audit_etl_sync_log (sync_status, sync_timestamp);
ALTER TABLE audit_etl_sync_log PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_table_time ON data_change_audit (table_name, change_timestamp);
CREATE INDEX ix_record ON data_change_audit (table_name, primary_key_value, change_timestamp);
CREATE INDEX ix_user_time ON data_change_audit (user_id, change_timestamp);
CREATE INDEX ix_subject ON data_change_audit (subject_ref);
ALTER TABLE data_change_audit PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_user_time ON bulk_operation_audit (user_id, operation_timestamp);
CREATE INDEX ix_table_time ON bulk_operation_audit (table_name, operation_timestamp);
ALTER TABLE bulk_operation_audit PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_table_time ON financial_data_changes (table_name, change_timestamp);
CREATE INDEX ix_user_time ON financial_data_changes (user_id, change_timestamp);
CREATE INDEX ix_period ON financial_data_changes (fiscal_year, fiscal_period, table_name);
ALTER TABLE financial_data_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_entity ON master_data_changes (entity_type, entity_id, change_timestamp);
CREATE INDEX ix_table_time ON master_data_changes (table_name, change_timestamp);
CREATE INDEX ix_user_time ON master_data_changes (user_id, change_timestamp);
ALTER TABLE master_data_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_entity ON price_cost_changes (entity_type, entity_id, change_timestamp);
CREATE INDEX ix_table_time ON price_cost_changes (table_name, change_timestamp);
CREATE INDEX ix_user_time ON price_cost_changes (user_id, change_timestamp);
ALTER TABLE price_cost_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_customer ON customer_data_changes (customer_id, change_timestamp);
CREATE INDEX ix_account ON customer_data_changes (account_id, change_timestamp);
CREATE INDEX ix_subject ON customer_data_changes (subject_ref);
CREATE INDEX ix_user_time ON customer_data_changes (user_id, change_timestamp);
ALTER TABLE customer_data_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_supplier ON supplier_data_changes (supplier_id, change_timestamp);
CREATE INDEX ix_table_time ON supplier_data_changes (table_name, change_timestamp);
CREATE INDEX ix_user_time ON supplier_data_changes (user_id, change_timestamp);
ALTER TABLE supplier_data_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_employee ON personnel_data_changes (employee_id, change_timestamp);
CREATE INDEX ix_subject ON personnel_data_changes (subject_ref);
CREATE INDEX ix_user_time ON personnel_data_changes (user_id, change_timestamp);
CREATE INDEX ix_area_time ON personnel_data_changes (change_area, change_timestamp);
ALTER TABLE personnel_data_changes PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_type_time ON sla_compliance_tracking (sla_type, sla_timestamp);
CREATE INDEX ix_customer ON sla_compliance_tracking (customer_id, period_start);
CREATE INDEX ix_status_time ON sla_compliance_tracking (compliance_status, sla_timestamp);
ALTER TABLE sla_compliance_tracking PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_type_time ON gdpr_data_request_log (request_type, request_timestamp);
CREATE INDEX ix_request ON gdpr_data_request_log (request_id, revision);
CREATE INDEX ix_subject ON gdpr_data_request_log (subject_ref);
CREATE INDEX ix_status_due ON gdpr_data_request_log (status, due_at);
ALTER TABLE gdpr_data_request_log PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_case_time ON legal_hold_tracking (case_id, hold_timestamp);
CREATE INDEX ix_hold ON legal_hold_tracking (hold_id, revision);
CREATE INDEX ix_scope ON legal_hold_tracking (scope_type, scope_value);
ALTER TABLE legal_hold_tracking PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_control_time ON sox_compliance_log (control_id, check_timestamp);
CREATE INDEX ix_status_time ON sox_compliance_log (control_status, check_timestamp);
ALTER TABLE sox_compliance_log PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_safeguard_time ON hipaa_compliance_log (safeguard_id, check_timestamp);
CREATE INDEX ix_status_time ON hipaa_compliance_log (compliance_status, check_timestamp);
ALTER TABLE hipaa_compliance_log PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_source_time ON audit_trail_completeness (checked_source, check_timestamp);
CREATE INDEX ix_gap_time ON audit_trail_completeness (gap_found, check_timestamp);
ALTER TABLE audit_trail_completeness PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_report ON audit_report_schedule (report_id, record_type, schedule_timestamp);
CREATE INDEX ix_status_time ON audit_report_schedule (status, schedule_timestamp);
ALTER TABLE audit_report_schedule PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_object ON retention_policy_tracking (object_kind, object_name, check_timestamp);
CREATE INDEX ix_status_time ON retention_policy_tracking (compliance_status, check_timestamp);
ALTER TABLE retention_policy_tracking PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_object ON audit_archive_log (table_name, partition_year, event_timestamp);
CREATE INDEX ix_run ON audit_archive_log (run_id);
ALTER TABLE audit_archive_log PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_no ON audit_integrity_checkpoints (checkpoint_no);
CREATE INDEX ix_type_time ON audit_integrity_checkpoints (record_type, checkpoint_timestamp);
ALTER TABLE audit_integrity_checkpoints PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_violation ON compliance_violations (violation_id, revision);
CREATE INDEX ix_dedup ON compliance_violations (dedup_key);
CREATE INDEX ix_status_sev ON compliance_violations (status, severity, detected_timestamp);
CREATE INDEX ix_rule_time ON compliance_violations (rule_id, detected_timestamp);
ALTER TABLE compliance_violations PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));

CREATE INDEX ix_domain_status ON certification_compliance_tracking (certification_domain, compliance_status, check_timestamp);
CREATE INDEX ix_holder ON certification_compliance_tracking (holder_ref, check_timestamp);
CREATE INDEX ix_valid_until ON certification_compliance_tracking (valid_until);
ALTER TABLE certification_compliance_tracking PARTITION BY RANGE (YEAR(recorded_at)) (PARTITION p2026 VALUES LESS THAN (2027));
