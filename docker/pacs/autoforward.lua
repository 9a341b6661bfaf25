-- Forward each radiograph to the gateway as soon as it is stored: `"LuaScripts": ["autoforward.lua"]`
-- in the configuration of Orthanc.
--
-- An instance that cannot be forwarded while the gateway is away is not forwarded later. Where
-- nothing may be missed, use forward_changes.py instead.

local classes = {
   ['1.2.840.10008.5.1.4.1.1.1'] = true,    -- Computed Radiography Image Storage
   ['1.2.840.10008.5.1.4.1.1.1.1'] = true,  -- Digital X-Ray Image Storage - For Presentation
   ['1.2.840.10008.5.1.4.1.1.7'] = true     -- Secondary Capture Image Storage
}

function OnStoredInstance(instance, tags, metadata, origin)
   if metadata['RemoteAET'] ~= 'G2D' and classes[metadata['SopClassUid']] then
      SendToModality(instance, 'g2d')
   end
end
