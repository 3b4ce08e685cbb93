import sys, os, time,json
sys.path.insert(0,'/work/main')
from pathlib import Path
from simplexity.cluster import *
sweep=Path('/tmp/x/tl'); (sweep).mkdir(parents=True,exist_ok=True)
p=ClusterProfile(partition='low',account=None,qos=None,constraint=None,gres=None,gpus_per_node=None,cpus_per_task=1,memory='500M',time_limit_minutes=1,signal_lead_s=57,nodes=1,tasks_per_node=1,sbatch_options={},setup=[],environment={'PAYLOAD':json.dumps({"steps": 300, "step_s": 0.2})},scratch_folder=None,cache_folder=None,container=None)
sp=sweep/'array_0.sh'
for a in split_into_arrays([0], 1001):
    sp.write_text(batch_script(job_name='my sweep', task_command=['python3','/work/main/tests/slurm/payload.py'], sweep_folder=sweep, script_path=sp, working_folder=sweep, array=a, parallelism=None, profile=p))
    print(submit(sp))
