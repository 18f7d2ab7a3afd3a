"""The shared facts every domain derives its tables from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from genims_platform.local.generate import demand, dimensions, money, partners, staff
from genims_platform.local.generate.plan import Plan, identifiers
from genims_platform.sources.catalogue import source_table

_SOURCES: Mapping[str, str] = {
    "master.factories": "factories",
    "master.production_lines": "lines",
    "master.machines": "machines",
    "master.shifts": "shifts",
    "master.products": "products",
    "master.customers": "customers",
    "master.employees": "employees",
    "hcm.departments": "hcm_departments",
    "hcm.employees": "hcm_employees",
    "erp.materials": "materials",
    "erp.suppliers": "suppliers",
    "erp.sales_orders": "sales_orders",
    "erp.sales_order_lines": "sales_order_lines",
    "erp.production_orders": "production_orders",
    "mes.work_orders": "work_orders",
    "wms.warehouses": "warehouses",
    "crm.accounts": "accounts",
    "tms.carriers": "carriers",
    "cmms.maintenance_assets": "maintenance_assets",
    "financial.exchange_rates": "exchange_rates",
    "financial.chart_of_accounts": "chart_of_accounts",
}


@dataclass(frozen=True)
class World:
    """Frames shared by several domains.

    A frame holds the catalogue's column names where it sets them, plus a few of its own that shape derived facts
    (`products.line_yield`, `machines.reliability`, `sales_orders.planned_ship_date`, `work_orders.cost_factor` …).
    Money is INR, times are naive UTC.
    """

    plan: Plan
    factories: pl.DataFrame
    lines: pl.DataFrame
    machines: pl.DataFrame
    shifts: pl.DataFrame
    products: pl.DataFrame
    customers: pl.DataFrame
    employees: pl.DataFrame
    hcm_departments: pl.DataFrame
    hcm_employees: pl.DataFrame
    materials: pl.DataFrame
    bill_of_materials: pl.DataFrame
    suppliers: pl.DataFrame
    warehouses: pl.DataFrame
    accounts: pl.DataFrame
    carriers: pl.DataFrame
    maintenance_assets: pl.DataFrame
    exchange_rates: pl.DataFrame
    chart_of_accounts: pl.DataFrame
    sales_orders: pl.DataFrame
    sales_order_lines: pl.DataFrame
    production_orders: pl.DataFrame
    work_orders: pl.DataFrame

    @cached_property
    def _keys(self) -> dict[str, pl.Series]:
        return {}

    def keys(self, reference: str) -> pl.Series:
        """Primary keys of a table: those of the world's frame, else as many as the plan gives the table."""
        if reference not in self._keys:
            key = source_table(reference).primary_key[0]
            if reference in _SOURCES:
                frame: pl.DataFrame = getattr(self, _SOURCES[reference])
                self._keys[reference] = frame[key]
            else:
                self._keys[reference] = identifiers(reference, self.plan.rows(reference))
        return self._keys[reference]

    def select(self, reference: str) -> pl.DataFrame:
        """The world's frame of a table, cut to the columns that the catalogue knows."""
        frame: pl.DataFrame = getattr(self, _SOURCES[reference])
        return frame.select(name for name in source_table(reference).polars_schema if name in frame.columns)


def build_world(plan: Plan) -> World:
    """Draw the dimensions and the demand flow of a plan."""
    factories = dimensions.factories()
    lines = dimensions.lines(plan, factories)
    machines = dimensions.machines(plan, lines)
    products = dimensions.products(plan, lines).join(
        lines.select("line_id", "line_yield"), on="line_id", how="left", maintain_order="left"
    )
    customers = partners.customers(plan)
    materials = dimensions.materials(plan, products)
    departments = staff.hcm_departments(factories)
    orders = demand.sales_orders(plan, customers)
    order_lines = demand.sales_order_lines(plan, orders, products, materials)
    work_orders, supplied_by = demand.work_orders(plan, orders, order_lines, products)
    orders, order_lines = demand.fulfil(plan, orders, order_lines.with_columns(supplied_by), work_orders)
    return World(
        plan=plan,
        factories=factories,
        lines=lines,
        machines=machines,
        shifts=dimensions.shifts(factories),
        products=products,
        customers=customers,
        employees=staff.employees(plan, lines),
        hcm_departments=departments,
        hcm_employees=staff.hcm_employees(plan, departments),
        materials=materials,
        bill_of_materials=dimensions.bill_of_materials(plan, products, materials),
        suppliers=partners.suppliers(plan),
        warehouses=partners.warehouses(factories),
        accounts=partners.accounts(plan, customers),
        carriers=partners.carriers(plan),
        maintenance_assets=dimensions.maintenance_assets(plan, machines),
        exchange_rates=money.exchange_rates(plan),
        chart_of_accounts=money.chart_of_accounts(),
        sales_orders=orders,
        sales_order_lines=order_lines,
        production_orders=_production_orders(orders, order_lines, work_orders),
        work_orders=work_orders,
    )


def _production_orders(orders: pl.DataFrame, lines: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """One ERP production order a sales line, pointing to the work order that makes it."""
    supply = made.select("planned_start_date", "planned_end_date", "actual_start_time", "actual_end_time", "ended")[
        lines["work_order_index"]
    ]
    return lines.select(
        identifiers("erp.production_orders", len(lines)),
        "material_id",
        "product_id",
        "plant_id",
        "sales_order_id",
        "order_quantity",
        "work_order_id",
        sales_order_line="line_number",
        basic_start_date=supply["planned_start_date"].dt.date(),
        basic_end_date=supply["planned_end_date"].dt.date(),
        actual_start_date=supply["actual_start_time"].dt.date(),
        actual_finish_date=supply["actual_end_time"].dt.date(),
        system_status=pl.when(supply["ended"]).then(pl.lit("completed")).otherwise(pl.lit("created")),
        order_date=orders["order_date"].gather(lines["order_index"]),
    )
