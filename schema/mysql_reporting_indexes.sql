-- Secondary indexes of the reporting database, and monthly partitions for the tables with a row a day: retention drops
-- whole partitions. Deployment splits p_future into the months of the window and the next three.

CREATE INDEX ix_mpd_machine ON machine_performance_daily (machine_id, performance_date);
CREATE INDEX ix_mpd_factory_oee ON machine_performance_daily (factory_id, performance_date, oee_pct);
CREATE INDEX ix_mpd_line ON machine_performance_daily (line_id, performance_date);
ALTER TABLE machine_performance_daily PARTITION BY RANGE COLUMNS (performance_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_psd_line ON production_summary_daily (line_id, production_date);
CREATE INDEX ix_psd_factory ON production_summary_daily (factory_id, production_date);
ALTER TABLE production_summary_daily PARTITION BY RANGE COLUMNS (production_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_dsd_machine ON downtime_summary_daily (machine_id, downtime_date);
CREATE INDEX ix_dsd_factory_min ON downtime_summary_daily (factory_id, downtime_date, breakdown_downtime_minutes);
ALTER TABLE downtime_summary_daily PARTITION BY RANGE COLUMNS (downtime_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_osd_line ON oee_summary_daily (line_id, oee_date);
CREATE INDEX ix_osd_factory_oee ON oee_summary_daily (factory_id, oee_date, oee_pct);
ALTER TABLE oee_summary_daily PARTITION BY RANGE COLUMNS (oee_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_qsd_product ON quality_summary_daily (product_id, quality_date);
CREATE INDEX ix_qsd_factory ON quality_summary_daily (factory_id, quality_date);
ALTER TABLE quality_summary_daily PARTITION BY RANGE COLUMNS (quality_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_led_factory ON labor_efficiency_daily (factory_id, labor_date, employee_register);
CREATE INDEX ix_led_employee ON labor_efficiency_daily (employee_register, employee_id, labor_date);
ALTER TABLE labor_efficiency_daily PARTITION BY RANGE COLUMNS (labor_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_ecd_line ON energy_consumption_daily (line_id, energy_date);
CREATE INDEX ix_ecd_factory ON energy_consumption_daily (factory_id, energy_date);
ALTER TABLE energy_consumption_daily PARTITION BY RANGE COLUMNS (energy_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_sfd_factory ON safety_compliance_daily (factory_id, safety_date);
ALTER TABLE safety_compliance_daily PARTITION BY RANGE COLUMNS (safety_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_sos_customer ON sales_order_summary (customer_id, order_date);
CREATE INDEX ix_sos_rep ON sales_order_summary (sales_rep_id, order_date);
ALTER TABLE sales_order_summary PARTITION BY RANGE COLUMNS (order_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_cpf_customer ON customer_performance (customer_id, performance_month);
CREATE INDEX ix_cpf_churn ON customer_performance (performance_month, churn_risk_band, ytd_sales_inr);

CREATE INDEX ix_psp_product ON product_sales_performance (product_id, sales_month);
CREATE INDEX ix_psp_category ON product_sales_performance (product_category, sales_month);

CREATE INDEX ix_srp_rep ON sales_rep_performance (sales_rep_id, performance_month);
CREATE INDEX ix_srp_territory ON sales_rep_performance (territory_id, performance_month);

CREATE INDEX ix_dlp_carrier ON delivery_performance (carrier_id, delivery_date);
CREATE INDEX ix_dlp_factory ON delivery_performance (factory_id, delivery_date);
ALTER TABLE delivery_performance PARTITION BY RANGE COLUMNS (delivery_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_spl_type_stage ON sales_pipeline_summary (record_type, stage, pipeline_date);
ALTER TABLE sales_pipeline_summary PARTITION BY RANGE COLUMNS (pipeline_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_css_customer ON customer_service_summary (customer_id, service_date);
ALTER TABLE customer_service_summary PARTITION BY RANGE COLUMNS (service_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_pnl_factory ON profit_and_loss_daily (factory_id, pnl_date);
ALTER TABLE profit_and_loss_daily PARTITION BY RANGE COLUMNS (pnl_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_cad_product ON cost_analysis_daily (product_id, cost_date);
CREATE INDEX ix_cad_factory ON cost_analysis_daily (factory_id, cost_date);
ALTER TABLE cost_analysis_daily PARTITION BY RANGE COLUMNS (cost_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

ALTER TABLE cash_flow_daily PARTITION BY RANGE COLUMNS (cash_flow_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_bva_cc ON budget_vs_actual (cost_center_id, budget_month);
CREATE INDEX ix_bva_factory_status ON budget_vs_actual (factory_id, budget_month, status);

CREATE INDEX ix_cvd_object ON cost_variance_daily (object_id, variance_type, variance_date);
CREATE INDEX ix_cvd_type_amt ON cost_variance_daily (variance_type, variance_date, variance_inr);
ALTER TABLE cost_variance_daily PARTITION BY RANGE COLUMNS (variance_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_cpx_factory ON capex_tracking (factory_id, capex_month, capex_object_type);
CREATE INDEX ix_cpx_object ON capex_tracking (capex_object_id, capex_month);

CREATE INDEX ix_apa_supplier ON accounts_payable_aging (supplier_id, aging_date);
CREATE INDEX ix_apa_overdue ON accounts_payable_aging (aging_date, overdue_amount_inr);
ALTER TABLE accounts_payable_aging PARTITION BY RANGE COLUMNS (aging_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_ivs_material ON inventory_value_summary (material_id, plant_id, inventory_date);
CREATE INDEX ix_ivs_status ON inventory_value_summary (inventory_date, stock_status, plant_id);
ALTER TABLE inventory_value_summary PARTITION BY RANGE COLUMNS (inventory_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_mfd_material ON material_flow_daily (material_id, plant_id, flow_date);
CREATE INDEX ix_mfd_plant ON material_flow_daily (plant_id, flow_date);
ALTER TABLE material_flow_daily PARTITION BY RANGE COLUMNS (flow_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_abc_material ON abc_analysis (material_id, analysis_month);
CREATE INDEX ix_abc_class ON abc_analysis (analysis_month, abc_class, xyz_class);

CREATE INDEX ix_sas_material ON stock_aging_summary (material_id, aging_date);
CREATE INDEX ix_sas_slow ON stock_aging_summary (aging_date, slow_moving_value_inr);
ALTER TABLE stock_aging_summary PARTITION BY RANGE COLUMNS (aging_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_fgw_product ON finished_goods_warehouse (product_id, stock_date);
CREATE INDEX ix_fgw_backorder ON finished_goods_warehouse (stock_date, backorder_qty);
ALTER TABLE finished_goods_warehouse PARTITION BY RANGE COLUMNS (stock_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_rmw_material ON raw_material_warehouse (material_id, stock_date);
CREATE INDEX ix_rmw_risk ON raw_material_warehouse (stock_date, stockout_risk, plant_id);
ALTER TABLE raw_material_warehouse PARTITION BY RANGE COLUMNS (stock_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_wip_product ON work_in_process (product_id, wip_date);
CREATE INDEX ix_wip_factory ON work_in_process (factory_id, wip_date);
ALTER TABLE work_in_process PARTITION BY RANGE COLUMNS (wip_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_dfa_product ON demand_forecast_vs_actual (product_id, forecast_month);
CREATE INDEX ix_dfa_accuracy ON demand_forecast_vs_actual (forecast_month, forecast_accuracy_pct);

CREATE INDEX ix_pop_supplier ON purchase_order_performance (supplier_id, po_date);
CREATE INDEX ix_pop_overdue ON purchase_order_performance (po_date, overdue_po_count);
ALTER TABLE purchase_order_performance PARTITION BY RANGE COLUMNS (po_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_spf_supplier ON supplier_performance (supplier_id, performance_month);
CREATE INDEX ix_spf_risk ON supplier_performance (performance_month, risk_level, spend_inr);

CREATE INDEX ix_wod_warehouse ON warehouse_operations_daily (warehouse_id, operation_date);
CREATE INDEX ix_wod_plant ON warehouse_operations_daily (plant_id, operation_date);
ALTER TABLE warehouse_operations_daily PARTITION BY RANGE COLUMNS (operation_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));

CREATE INDEX ix_spi_part ON spare_parts_inventory (part_register, part_id, stock_date);
CREATE INDEX ix_spi_risk ON spare_parts_inventory (stock_date, stockout_risk, criticality);
ALTER TABLE spare_parts_inventory PARTITION BY RANGE COLUMNS (stock_date) (PARTITION p_future VALUES LESS THAN (MAXVALUE));
