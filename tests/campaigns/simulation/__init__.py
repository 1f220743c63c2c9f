"""The whole protocol of a job in one process, under a virtual clock: any schedule of faults, reproduced by its seed.

What runs is the real code of ``plan``, ``score`` (coordinator, ledger), the sealing of shards and ``publish``. Only the
edges of the machine are replaced (:mod:`.machine`): time and processes (:mod:`.world`), the store (:mod:`.store`),
scoring processes (:mod:`.slots`) and Airflow's tasks (:mod:`.airflow`). :mod:`.schedules` draws what goes wrong,
:mod:`.checks` says what must hold all the same. ``python -m tests.campaigns.simulation`` is the long form.
"""
