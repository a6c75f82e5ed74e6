"""What a workflow decides: one pure state machine per process, the same for both engines.

base       inputs, effects, and the step that a machine takes
schedule   when it asks, waits and gives up
results    what activities answer
payment, capture, void, refund, delivery    the machines
registry   from a workflow's type to its machine

A machine takes one step per input and answers each with exactly one effect: call an activity, wake me, or finish. So it
either works, or waits with a wake-up, or has ended. An engine delivers an activity's result once; signals may come at
any time, twice and late.
"""
