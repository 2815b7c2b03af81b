# In the place of kibana/load.sh: the lab has no Kibana. (Not no container, which Docker before 23.0 does not take from a second file.)
