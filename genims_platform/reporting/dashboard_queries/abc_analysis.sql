-- A items whose class in the material master differs
SELECT material_id, material_name, consumption_value_inr, value_share_pct, value_rank, master_abc_class, xyz_class
FROM abc_analysis
WHERE analysis_month = %(month)s AND abc_class = 'A' AND class_differs = 1
ORDER BY value_rank
